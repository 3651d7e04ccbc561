# Every kind of image, with the same bytes whoever builds it and when: hc's builds are done again by C++
# Nix and compared by it, and all builders run once more in a virtual machine whose clock is years ahead.
# own store
. "$(dirname "$0")/../lib/test.sh"

: "${KERNEL_DEB:?a package of a Debian kernel}"
cd "$WORK"
mkdir -p tree/{bin,dev,proc,sys,run,tmp,in,nix/store}
strip -o tree/bin/hc "$HC"
cp /bin/busybox tree/bin/busybox
for tool in sh env mkdir rm find sort xargs sha256sum sed date printf mount mknod chmod; do ln -s busybox "tree/bin/$tool"; done

# Inputs: an archive, an OCI image, a disk, initrds, a system, and two packages with this host's dpkg.
mkdir -p small/{etc,var} && echo hello >small/etc/motd && chmod 4750 small/etc/motd && chown 3:4 small/etc/motd
setcap cap_net_raw+ep small/etc/motd
tar -C small --xattrs --xattrs-include='*' -czf tree/in/root.tar.gz .
umoci init --layout layout && umoci new --image layout:v1 && umoci insert --image layout:v1 small / 2>umoci.log &&
	skopeo --insecure-policy copy -q oci:layout:v1 oci-archive:tree/in/oci.tar:v1
mkfs.erofs --quiet root.erofs small && qemu-img convert -c -O qcow2 root.erofs tree/in/root.qcow2
(cd small && echo etc/motd | cpio -o -H newc --quiet | gzip -n >../tree/in/a.gz && echo var | cpio -o -H newc --quiet >../tree/in/b)
top=tree/nix/store/00000000000000000000000000000000-nixos-system-x
mkdir -p "$top" && printf '#!/bin/sh\n' >"$top/init" && chmod +x "$top/init"
mkdir -p base/{DEBIAN,etc,var/log,usr/{bin,sbin,lib,lib64}}
for link in bin sbin lib lib64; do ln -s "usr/$link" "base/$link"; done
for program in sh dash dpkg dpkg-deb dpkg-query dpkg-split dpkg-trigger tar rm diff ldconfig start-stop-daemon mkdir mktemp date cat; do
	file=$(command -v "$program")
	cp -L "$file" "base/usr/bin/"
	ldd "$file" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do mkdir -p "base$(dirname "$library")" && cp -Ln "$library" "base$library"; done
done
mv base/usr/bin/{ldconfig,start-stop-daemon} base/usr/sbin/
printf 'root:x:0:0::/root:/bin/sh\n' >base/etc/passwd
printf 'root:x:0:\nshadow:x:42:\n' >base/etc/group
control() { printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: for a test\n%s' "$1" "$2"; }
control base $'Essential: yes\n' >base/DEBIAN/control
mkdir -p daemon/DEBIAN && control daemon '' >daemon/DEBIAN/control
printf '#!/bin/sh\nset -e\nmkdir -p /var/lib/daemon\ndate >/var/lib/daemon/.d\nrm /var/lib/daemon/.d\ndate >/var/log/daemon.log\nmktemp\n' >daemon/DEBIAN/postinst
chmod 755 daemon/DEBIAN/postinst
for package in base daemon; do dpkg-deb -Znone --root-owner-group -b "$package" "tree/in/$package.deb" >/dev/null; done

ln -sfn "$(dirname "$0")/../../images" images 2>/dev/null || true
ln -sfn "$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/images" images
users='{"ada":{"uid":1000,"passwordHash":"x"}}'
cat >default.nix <<NIX
let
  builder = "\${builtins.path { path = ./tree/bin; name = "hc-bin"; }}/hc";
  lib = import ./images/lib.nix;
  image = name: args: import (./images + "/\${name}.nix") ({ inherit builder; } // args);
  system = builtins.path { path = ./$top; name = "nixos-system-x"; };
in rec {
  minimal = image "minimal" { };
  tar = lib.tar { inherit builder; src = ./tree/in/root.tar.gz; };
  oci = lib.oci { inherit builder; src = ./tree/in/oci.tar; };
  nixos = lib.nixos { inherit builder; toplevel = system; };
  debian = lib.mkImage { inherit builder; name = "debian"; what = "debian-rootfs"; attrs = {
    debs = [ ./tree/in/base.deb ./tree/in/daemon.deb ]; epoch = "1000000000"; users = ''$users''; requiredSystemFeatures = [ "uid-range" ]; }; };
  disk = image "disk" { src = ./tree/in/root.qcow2; };
  kernel = image "kernel" { src = $KERNEL_DEB; };
  microvm = image "initrd" { inherit kernel; machine = "microvm"; };
  initrd = image "initrd" { initrds = [ ./tree/in/a.gz ./tree/in/b ]; };
  vm = lib.tar { inherit builder; name = "vm"; src = ./vm.tar; };
}
NIX
built() { hc build --file . "$1" --no-link --print-out-paths 2>"$WORK/out"; }
cat >tree/bin/build-all <<SH
#!/bin/sh
one() {
	name=\$1 what=\$2 at=/tmp/\$1
	shift 2
	mkdir -p \$at/work
	printf '%s\n\n0\n' /$(basename "$(dirname "$(dirname "$top")")")/store/$(basename "$top") >\$at/work/closure
	env -i PATH=/bin "\$@" out=\$at/out NIX_BUILD_TOP=\$at/work /bin/hc builder \$what || echo "sum \$name failed"
	cd \$at/out && find . -type f | sort | xargs sha256sum | sed "s|^|sum \$name |"
	cd / && rm -rf \$at
}
one minimal minimal-rootfs epoch=1000000000
one tar tar-rootfs src=/in/root.tar.gz
one oci oci-rootfs src=/in/oci.tar
one nixos nixos-rootfs toplevel=/nix/store/$(basename "$top") "exportReferencesGraph=closure x"
one debian debian-rootfs "debs=/in/base.deb /in/daemon.deb" epoch=1000000000 'users=$users'
one disk disk src=/in/root.qcow2
one kernel kernel src=/in/vmlinux
one initrd initrd "src=/in/a.gz /in/b"
echo "sum year \$(date +%Y)"
SH
chmod +x tree/bin/build-all

kernel=$(built kernel) || not_ok "the kernel"
cp "$kernel/vmlinux" tree/in/vmlinux
tar -C tree -cf vm.tar .
export NIX_REMOTE=local NIX_PATH=
for kind in minimal tar oci nixos disk kernel microvm initrd debian; do
	options=()
	# Nix 2.8 has no uid-range: without its sandbox the builder is root over all ids.
	[ "$kind" != debian ] || options=(--option sandbox false --option system-features uid-range)
	if built "$kind" >path && drv=$(nix-store --query --deriver "$(cat path)"); then
		check "$kind: C++ Nix builds the same bytes" nix-store --realise --check --option build-users-group "" "${options[@]}" "$drv"
	else
		not_ok "$kind is built"
	fi
done

vm=$(built vm) initrd=$(built microvm)
# shellcheck disable=SC2016 # inside
unshare --mount --pid --fork bash -c '
	mount --bind tree tree && mount -t proc proc tree/proc && mount -t tmpfs tmp tree/tmp && mount -t tmpfs dev tree/dev &&
		for d in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do set -- $d; mknod -m 666 "tree/dev/$1" c "$2" "$3"; done
	chroot tree /bin/build-all' 2>err | grep '^sum' >today
check "all builders are run here" [ "$(grep -c 'rootfs\|disk\|vmlinux\|initrd' today)" -ge 8 ]
khz=$(awk '/cpu MHz/ { printf "%d", $4 * 1000; exit }' /proc/cpuinfo)
check "and in a virtual machine of another day" bash -c "timeout 300 qemu-system-x86_64 -M microvm,pic=off,pit=off,rtc=on \
	-accel tcg,thread=multi -cpu max -m 1536 -nodefaults -no-user-config -display none -no-reboot -bios qboot.rom -serial stdio \
	-rtc base=2031-05-06T07:08:09 -kernel $kernel/vmlinux -initrd $initrd/initrd \
	-append 'console=ttyS0 quiet panic=-1 tsc_early_khz=$khz -- /bin/build-all' \
	-drive id=root,file=$vm/rootfs.erofs,format=raw,if=none,readonly=on -device virtio-blk-device,drive=root >console"
tr -d '\r' <console | grep '^sum' >then
check "which is years from now" grep -qx 'sum year 2031' then
cp console out
check "the bytes are the same" diff <(grep -v year today) <(grep -v year then)
silent 'failed' "none failed"
finish
