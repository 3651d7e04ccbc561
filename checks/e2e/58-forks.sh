# Disks forked from images: on ext4, where they are overlays; on XFS, where one copy is shared; on btrfs
# with the store in it, where nothing is copied. What keeps what, and what `hc gc` takes.
# own store
. "$(dirname "$0")/../lib/test.sh"

cd "$WORK" || exit 1
cp "$HC" hc
ln -sfn "$top/images" images
truncate -s 64M raw
for at in 0 20 50; do head -c 4M /dev/urandom | dd of=raw bs=1M seek=$at conv=notrunc status=none; done
qemu-img convert -O qcow2 raw disk.qcow2
cat >default.nix <<'NIX'
let builder = "${builtins.path { path = ./hc; name = "hc"; }}"; in {
  disk = import ./images/disk.nix { inherit builder; src = ./disk.qcow2; name = "appliance"; };
  root = import ./images/minimal.nix { inherit builder; };
}
NIX
# volume KIND: a file system of that kind at $WORK/KIND.
volume() {
	truncate -s 1G "$1.img" && "mkfs.$1" -q "$1.img" 2>/dev/null && mkdir -p "$1" && mount -o loop "$1.img" "$1"
}
# forked FILE FORMAT: the disk reads as the image does.
forked() { qemu-img compare -q -f "$2" "$1" raw; }
row() { "${hc_here[@]}" doctor --json | jq -r ".[] | select(.what | startswith(\"disks in\")) | $1"; }
build() { "${hc_here[@]}" build --file . "$1" --no-link --print-out-paths 2>"$WORK/out"; }
gone() { [ ! -e "$1" ]; }

# The state directory that a test host has is on the disk of the machine that runs the tests.
if [ "$(stat -f -c %T /var/lib/hc)" = ext2/ext3 ]; then
	hc_here=("$HC")
	same "doctor says how disks are forked on ext4" "$(row .method)" qcow2-overlay
	check "and what would be better" bash -c '"$HC" doctor | grep "disks in" | grep -q "ext4 has no reflinks.*XFS and btrfs have"'
	image=$(build disk)
	check "ls knows disks" bash -c '"$HC" image ls --json | jq -e ".[] | select(.name == \"appliance\" and .kind == \"disk\")"'
	check "a fork" bash -c '"$HC" disk fork appliance web >one'
	check "is an overlay" qemu-img check -q -f qcow2 "$(cat one)"
	check "that reads as its image" forked "$(cat one)" qcow2
	check "takes no room" bash -c '[ "$(du -k "$(cat one)" | cut -f1)" -lt 512 ]'
	check "another, larger one" bash -c '"$HC" disk fork "$1" web data --size 1G >two' _ "$image"
	same "has the size" "$(qemu-img info --output=json "$(cat two)" | jq '."virtual-size"')" 1073741824
	check "one grows" hc disk grow web 2G data
	says "web/data has 2.0 GiB" "as it is told"
	check "and is whole" qemu-img check -q -f qcow2 "$(cat two)"
	same "with its new size" "$(qemu-img info --output=json "$(cat two)" | jq '."virtual-size"')" 2147483648
	refuse 1 "several disks: say which" "which is said, where there are two" hc disk grow web 3G
	refuse 1 "does not shrink" "none shrinks" hc disk grow web 1G data
	check "what is written to one" qemu-io -f qcow2 -c "write -P 7 0 1M" "$(cat one)"
	check "is not in the other" bash -c 'qemu-img convert -O raw "$(cat two)" copy.raw && cmp -n 67108864 copy.raw raw'
	check "and is kept" bash -c '"$HC" disk fork appliance web && qemu-io -f qcow2 -c "read -P 7 0 1M" "$(cat one)" | grep -q "read 1048576"'
	check "a dry run names disks of machines in no generation" bash -c '"$HC" gc --dry-run | grep -q "in no generation.*web/root.*hc disk rm"'
	check "a collection keeps what disks read" bash -c '"$HC" gc && [ -e "$1/disk.raw" ]' _ "$image"
	check "so does C++ Nix, where it is" bash -c '! command -v nix-store || nix-store --gc --print-roots | grep -q bases/'
	refuse 1 "has no disk 'nope'" "a disk that is not there" hc disk rm web nope
	check "rm" bash -c '"$HC" disk rm web data && "$HC" disk rm web'
	check "a dry run says that the image would go" bash -c '"$HC" gc --dry-run --json | jq -e ".paths | map(select(endswith(\"-appliance\"))) | length == 1"'
	check "and only says" test -e "$image/disk.raw"
	check "then it goes" hc gc
	check "with its base" bash -c '[ ! -e "$1" ] && [ -z "$(ls -A /var/lib/hc/bases)" ]' _ "$image"
fi

check "XFS" volume xfs
hc_here=("$HC" --state-dir "$WORK/xfs/hc")
h() { "${hc_here[@]}" "$@"; }
same "doctor says how disks are forked on XFS" "$(row .method)" reflink-of-copy
image=$(build disk)
check "base, ahead of time" h image base appliance
says "copying .*once" "says that it copies"
same "with its holes" "$(du -m "$WORK"/xfs/hc/bases/*/disk.raw | cut -f1)" 12
before=$(df --output=used -k xfs | tail -1)
check "eight forks" bash -c 'for i in 1 2 3 4 5 6 7 8; do "$HC" --state-dir xfs/hc disk fork appliance vm$i; done'
silent "copying" "copy nothing"
check "and take no room" bash -c '[ $(($(df --output=used -k xfs | tail -1) - $1)) -lt 8192 ]' _ "$before"
check "they read as the image" forked xfs/hc/machines/vm8/disks/root/disk.raw raw
check "one grows" h disk grow vm7 128M
same "to that size" "$(stat -c %s xfs/hc/machines/vm7/disks/root/disk.raw)" 134217728
check "ls shows the base" bash -c '"$HC" --state-dir xfs/hc image ls | grep appliance | grep -q "12.0 MiB.*vm1/root"'
check "disk ls shows them" bash -c '[ "$("$HC" --state-dir xfs/hc disk ls --json | jq "map(select(.method == \"reflink\")) | length")" = 8 ]'
refuse 1 "loses data" "a disk smaller than its image" h disk fork appliance vm9 --size 1M
root=$(build root)
refuse 1 "no disk" "a root file system is no disk" h disk fork "$root" vm9
check "a collection takes the image" h gc --json
same "and its base" "$(jq -r '.bases[].image' "$WORK/out")" "$(basename "$image")"
check "which are gone" bash -c '[ ! -e "$1" ] && [ -z "$(ls -A xfs/hc/bases)" ]' _ "$image"
check "and the forks stay whole" forked xfs/hc/machines/vm8/disks/root/disk.raw raw
check "and listed" bash -c '"$HC" --state-dir xfs/hc disk ls | grep -q vm8'

check "btrfs" volume btrfs
hc_here=("$HC" --store "$WORK/btrfs" --state-dir "$WORK/btrfs/hc")
image=$(build disk)
same "doctor says how disks are forked beside their store" "$(row .method)" reflink
check "a fork shares what is in the store" h disk fork appliance web
check "reads as the image" forked btrfs/hc/machines/web/disks/root/disk.raw raw
check "and needs no base" gone btrfs/hc/bases
check "base has nothing to do" h image base appliance
says "nothing to copy" "and says so"

check "a full file system" bash -c 'truncate -s 300M small.img && mkfs.xfs -q small.img && mkdir -p small && mount -o loop small.img small && fallocate -l $(($(df --output=avail -B 1M small | tail -1) - 6))M small/filler'
hc_here=("$HC" --state-dir "$WORK/small/hc")
image=$(build disk)
refuse 1 "no room for .*hc gc" "says so, and what to do" h disk fork "$image" web
check "and nothing is left" bash -c '[ -z "$(find small/hc -type f)" ]'
umount small btrfs xfs

# A deploy makes the base of a disk before it switches anything, where forks need one.
mkdir -p cloud && cp disk.qcow2 cloud/
for kind in ext4 xfs btrfs; do
	truncate -s 1G state.img && "mkfs.$kind" -q state.img >/dev/null 2>&1 && mount -o loop state.img /var/lib/hc || not_ok "$kind below /var/lib/hc"
	cloud <<-NIX
		{ images, ... }: {
		  cloud.name = "test";
		  hosts.one.networks.lan = { };
		  hosts.one.machines.pc = {
		    kind = "q35"; image = images.disk { src = ./disk.qcow2; }; stop.timeoutSec = 1;
		    q35 = { memory = "256M"; tpm = false; secureBoot = false; };
		  };
		}
	NIX
	check "$kind: a PC is deployed" hc deploy "path:$WORK/cloud"
	case $kind in
	ext4) expected="overlay 0" method=qcow2-overlay ;;
	*) expected="reflink 1" method=reflink-of-copy ;;
	esac
	same "$kind: its disk, and what was copied for it" "$(hc disk ls --json | jq -r '.[].method') $(find /var/lib/hc/bases -name disk.raw -type f | wc -l)" "$expected"
	hc_here=("$HC")
	same "$kind: doctor says the same" "$(row .method)" $method
	check "$kind: a collection keeps the image, and the base" bash -c '"$HC" gc && [ -n "$(ls -A /var/lib/hc/bases)" ]'
	check "$kind: destroy" hc destroy --yes
	check "$kind: a collection takes both" bash -c '"$HC" gc && [ -z "$(ls -A /var/lib/hc/bases)" ]'
	umount /var/lib/hc
	rm state.img
done

# Containers on btrfs: overlays, and snapshots of an image that has a base.
mkdir -p state && truncate -s 1G state.img && mkfs.btrfs -q state.img 2>/dev/null
check "btrfs below /var/lib/hc" mount -o loop state.img /var/lib/hc
mkdir -p tree/bin tree/etc tree/srv cloud
cp /bin/busybox tree/bin/ && for tool in sh sleep stat cat id mkdir; do ln -sf busybox "tree/bin/$tool"; done
echo 'root:x:0:0::/:/bin/sh' >tree/etc/passwd && chown 33:33 tree/srv && chmod 2750 tree/srv
head -c 8M /dev/urandom >tree/srv/large
tar -C tree -cf cloud/root.tar .
describe() {
	cloud <<-NIX
		{ images, ... }: {
		  cloud.name = "test";
		  hosts.one.networks.lan = { };
		  hosts.one.machines = builtins.listToAttrs (map (name: {
		    inherit name;
		    value = { image = images.tar { src = ./root.tar; }; command = [ "/bin/sleep" "1000" ]; stop.signal = "KILL"; };
		  }) [ $1 ]);
		}
	NIX
}
root_of() { hc exec "$1" -- cat /proc/mounts | awk '$2 == "/" { print $3 }'; }
check "doctor says where snapshots come from" bash -c '"$HC" doctor | grep "roots in" | grep -q "hc image base"'
describe '"layered"'
check "a container" deploy
same "is on an overlay" "$(root_of layered)" overlay
check "base of its image" hc image base tar-rootfs
check "ls shows it" bash -c '"$HC" image ls --json | jq -e ".[] | select(.name == \"tar-rootfs\") | .base.root"'
describe '"layered" "snapped" "other"'
check "another two containers" deploy
same "are on snapshots" "$(root_of snapped)" btrfs
same "owners and modes are the image's" "$(hc exec snapped -- stat -c '%u:%g %a' /srv)" "33:33 2750"
same "root is root" "$(hc exec snapped -- stat -c '%u' /)" 0
check "what one writes" hc exec snapped -- sh -c 'echo mine >/srv/large; mkdir /new'
check "is not in the other" hc exec other -- sh -c '[ "$(stat -c %s /srv/large)" = 8388608 ] && ! [ -e /new ]'
check "nor in the base" bash -c '[ "$(stat -c %s /var/lib/hc/bases/*/rootfs/srv/large)" = 8388608 ]'
check "a restart" hc restart snapped
same "keeps it" "$(hc exec snapped -- cat /srv/large)" mine
same "the one from before stays as it is" "$(root_of layered)" overlay
check "a collection keeps the base of what runs" bash -c '"$HC" gc && ls -d /var/lib/hc/bases/*/rootfs'
check "destroy" hc destroy --yes
same "leaves no subvolume" "$(btrfs subvolume list /var/lib/hc)" ""
umount /var/lib/hc
finish
