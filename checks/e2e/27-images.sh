# Images of archives: a tar file, OCI images that umoci and skopeo made, imported files; each runs with
# its own command, environment and user.
# own store
. "$(dirname "$0")/../lib/test.sh"

root=$WORK/root
mkdir -p "$root"/{bin,etc,tmp,srv} "$WORK/cloud"
cp /bin/busybox "$root/bin/busybox"
for tool in sh sleep id pwd cat stat; do ln -s busybox "$root/bin/$tool"; done
printf 'root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nweb:x:33:\n' >"$root/etc/group"
chmod 4711 "$root/bin/busybox"
chown 33:33 "$root/srv"
tar -C "$root" -czf "$WORK/cloud/root.tar.gz" .
# shellcheck disable=SC2016 # expanded in the machine
say='trap "exit 0" TERM; echo "I am $(id -u):$(id -g) in $(pwd) with $NOTE"; while :; do sleep 1; done'

layout=$WORK/layout
make_layout() {
	umoci init --layout "$layout" && umoci new --image "$layout:v1" &&
		umoci insert --image "$layout:v1" "$root" / && : >"$WORK/gone" &&
		umoci insert --image "$layout:v1" "$WORK/gone" /srv/gone &&
		umoci insert --image "$layout:v1" --whiteout /srv/gone &&
		umoci config --image "$layout:v1" --architecture amd64 --os linux --config.user 33:33 \
			--config.workingdir /srv --config.env NOTE=umoci --config.stopsignal TERM --config.exposedports 80 \
			--clear config.cmd --config.entrypoint /bin/sh --config.entrypoint -c --config.cmd "$say"
}
check "umoci makes an OCI layout" make_layout
check "skopeo makes an OCI archive of it" skopeo --insecure-policy copy -q "oci:$layout:v1" "oci-archive:$WORK/cloud/oci.tar:v1"
check "and what docker would load" skopeo --insecure-policy copy -q "oci:$layout:v1" "docker-archive:$WORK/docker.tar:web:v1"

describe() {
	cloud <<-NIX
		{ images, ... }: {
		  cloud.name = "test";
		  hosts.one.networks.lan = { };
		  hosts.one.machines = {
		    tar = {
		      image = images.tar {
		        src = ./root.tar.gz;
		        config = { command = [ "/bin/sh" "-c" ''$say'' ]; user = "web"; env.NOTE = "the tar's"; };
		      };
		    };
		    oci.image = images.oci { src = ./oci.tar; };
		    own = { image = images.oci { src = ./oci.tar; }; command = [ "/bin/sleep" "1000" ]; user = "root"; workdir = "/tmp"; stop.signal = "KILL"; };
		    $1
		  };
		}
	NIX
}
describe ""
check "a store without images of other tests" hc gc
check "a plan needs no build" hc plan "path:$WORK/cloud"
check "one image is built, linked to" hc image build --machine tar -o "$WORK/tar" "path:$WORK/cloud"
says '^tar  */nix/store/.*tar-rootfs$' "and told"
same "and no other" "$(hc image ls --json | jq -r '.[] | select(.name | test("oci|tar")) | .name')" "tar-rootfs"
refuse 4 "no machine 'none'.*oci, own, tar" "of a machine that is not there" hc image build --machine none "path:$WORK/cloud"
check "all of them" hc image build --json "path:$WORK/cloud"
check "deploy" deploy
logged() { for _ in $(seq 50); do hc logs "$1" | grep -q "$2" && return; sleep 0.1; done; return 1; }
check "the tar file's command, user and environment" logged tar "I am 33:33 in / with the tar's"
check "the OCI image's, with its working directory" logged oci "I am 33:33 in /srv with umoci"
same "what the machine says itself holds" "$(hc exec own -- stat -c %u /proc/2)" 0
same "owners and modes are kept" "$(hc exec own -- stat -c '%u %a' /srv) $(hc exec own -- stat -c %a /bin/busybox)" "33 755 4711"
check "a layer takes away what one below had" bash -c '! "$HC" exec own -- stat /srv/gone'
check "a second deploy has nothing to do" bash -c '"$HC" plan "path:$WORK/cloud" | grep -q "nothing to do"'

check "import of what docker save writes" bash -c '"$HC" image import --json "$WORK/docker.tar" >"$WORK/import"'
check "import of a layout" hc image import -o "$WORK/image" "$layout"
check "import of a tar file" hc image import "$WORK/cloud/root.tar.gz"
describe "docker.image = $(jq -r .nix "$WORK/import");"
check "the line it prints goes into a machine" deploy
check "which runs" logged docker "I am 33:33 in /srv with umoci"
same "it is the image that was imported" "$(hc image ls --json | jq -r '.[] | select(.machines == ["docker"]) | .path')" "$(jq -r .path "$WORK/import")"
same "ls knows who uses what" "$(hc image ls --json | jq -r '[.[].machines[]] | sort | join(" ")')" "docker oci own tar"
check "and what is shared" bash -c '[ "$("$HC" image ls --json | jq "[.[] | select(.sharedLayers | length > 0)] | length")" -ge 2 ]'
check "ls for people" bash -c '"$HC" image ls | grep -q oci-rootfs'
check "ls tells of other kinds" bash -c '"$HC" image ls --json | jq -e "map(.kind) | contains([\"rootfs\"])"'
check "inspect" bash -c '"$HC" image inspect "$WORK/image" | tee /dev/stderr | grep -q "ports *80"'
refuse 1 "hc image ls" "inspect of nothing" hc image inspect no-such

# What a first look takes a file for; nothing that is somebody's is written over or put into the store.
name_of() { hc image ls --json | jq -r --arg p "$1" '.[] | select(.path == $p) | "\(.name) \(.kind)"'; }
imported() { hc image import --json "$@" >"$WORK/import" 2>"$WORK/out" && name_of "$(jq -r .path "$WORK/import")"; }
same "an image has its file's name" "$(imported "$WORK/cloud/root.tar.gz")" "root rootfs"
same "or the one it is given" "$(imported --name web-1 "$WORK/cloud/root.tar.gz")" "web-1 rootfs"
check "by which it is found" hc image inspect web-1
truncate -s 2M "$WORK/raw" && printf 'x' | dd of="$WORK/raw" conv=notrunc status=none
qemu-img convert -O qcow2 "$WORK/raw" "$WORK/appliance.qcow2"
same "a qcow2 image is a disk" "$(imported "$WORK/appliance.qcow2")" "appliance disk"
same "the line says where it goes" "$(jq -r '"\(.option) = \(.nix)"' "$WORK/import" | cut -c1-22)" "image = images.disk { "
genisoimage -quiet -o "$WORK/cd.iso" "$root/etc"
same "so is an ISO file" "$(imported "$WORK/cd.iso")" "cd disk"
same "and whatever one says is one" "$(imported --as disk "$WORK/raw")" "raw disk"
(cd "$root" && find etc | cpio -o -H newc --quiet >"$WORK/early.img")
same "a cpio archive is an initrd" "$(imported "$WORK/early.img")" "early initrd"
same "a package of a kernel is one" "$(imported --name linux "$KERNEL_DEB") $(jq -r .option "$WORK/import")" "linux kernel vm.kernel"
check "inspect tells a kernel's version" bash -c '"$HC" image inspect linux | grep -q "^version *[0-9].*-amd64$"'
refuse 1 "such as --as disk" "a raw disk without partitions is not guessed" hc image import "$WORK/raw"
for format in vmdk vhdx vdi; do
	qemu-img convert -O $format "$WORK/raw" "$WORK/other-$format.$format"
	same "a $format image goes through qemu-img" "$(imported "$WORK/other-$format.$format")" "other-$format disk"
	check "and is the disk that it was" cmp "$WORK/raw" "$(jq -r .path "$WORK/import")/disk.raw"
done
refuse 8 "hint: install the package 'qemu-utils'" "where that is not there, it is said" env PATH=/none "$HC" image import "$WORK/other-vmdk.vmdk"
qemu-img create -q -f vmdk -b "$WORK/other-vmdk.vmdk" -F vmdk "$WORK/above.vmdk"
refuse 1 "it lies on" "one that lies on another file is refused" hc image import "$WORK/above.vmdk"
qemu-img convert -O vmdk -o subformat=monolithicFlat "$WORK/raw" "$WORK/two.vmdk"
refuse 1 "names other files.*" "and one that names others" hc image import "$WORK/two.vmdk"
refuse 1 "hint: .*tar -C" "a directory that is no layout" hc image import "$root"
check "has not gone into the store" bash -c '! ls -d /nix/store/*-root/etc'
: >"$WORK/empty.tar"
refuse 1 "is empty" "an empty file" hc image import "$WORK/empty.tar"
refuse 2 "letters, digits" "a name that the store does not take" hc image import --name "a b" "$WORK/raw"
refuse 1 "in the way: it is no symlink" "a file that is no link is not written over" hc image import -o "$WORK/raw" "$WORK/cloud/root.tar.gz"
refuse 1 "in the way" "nor by a build" hc image build --machine tar -o "$WORK/raw" "path:$WORK/cloud"
same "it is what it was" "$(head -c 1 "$WORK/raw")" x

# What a builder of hc's can do, seen from outside: a process that was stopped in the middle. The
# sandbox has one filter of system calls, the builder puts two on top when the rest is given up.
head -c 48M /dev/zero | tr '\0' x >"$root/large" && head -c 8M /dev/urandom >"$root/noise" && tar -C "$root" -cjf "$WORK/slow.tar" .
hc image import "$WORK/slow.tar" >"$WORK/import" 2>&1 &
for _ in $(seq 2000); do
	builder=$(pgrep -nf 'builder tar-rootfs') && [ "$(awk '/^Seccomp_filters/ { print $2 }' "/proc/$builder/status")" -ge 3 ] && kill -STOP "$builder" && break
	sleep 0.005
done 2>/dev/null
of_its_own() { for ns in mnt pid net ipc uts user; do [ "$(readlink "/proc/$builder/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ] && printf '%s ' $ns; done; }
same "it has namespaces of its own" "$(of_its_own)" "mnt pid net ipc uts user "
check "no rights that could come back" grep -q '^NoNewPrivs:.*1' "/proc/$builder/status"
same "system calls filtered by the sandbox and by itself" "$(awk '/^Seccomp_filters/ { print $2 }' "/proc/$builder/status")" 3
check "limits" bash -c 'grep -Eq "^Max address space +4294967296 +4294967296" "/proc/$1/limits" && grep -Eq "^Max file size +[0-9]+ +[0-9]+" "/proc/$1/limits"' _ "$builder"
kill -CONT "$builder"
check "and gets its work done" wait $!

printf 'not a tar file, though long enough for a header %0600d' 0 >"$WORK/cloud/root.tar.gz"
refuse 1 "neither a tar file" "what is no archive is refused" hc image import "$WORK/cloud/root.tar.gz"
refuse 4 "no tar file" "with a reason when one insists" hc image import --as tar "$WORK/cloud/root.tar.gz"
head -c $(($(stat -c %s "$WORK/cloud/oci.tar") / 2)) "$WORK/cloud/oci.tar" >"$WORK/cut.tar"
refuse 4 "cut.tar: .*cut off" "one that is cut off is told by its name" hc image import --as oci "$WORK/cut.tar"
finish
