# Images of virtual machines: built as derivations by the functions in images/, twice with the same
# bytes, and booted under QEMU without hardware virtualisation.
# own store
. "$(dirname "$0")/../lib/test.sh"

: "${KERNEL_DEB:?a package of a Debian kernel}"
cd "$WORK"
cp "$HC" hc
cp "$KERNEL_DEB" kernel.deb
ln -sfn "$top/images" images
cat >default.nix <<'NIX'
{ salt ? "" }:
let
  builder = "${builtins.path { path = ./hc; name = "hc"; }}";
  # Another name with the same bytes in it: what is built again has nothing of the first time.
  image = name: args: import (./images + "/${name}.nix") ({ inherit builder; name = name + salt; } // args);
in rec {
  minimal = image "minimal" { };
  kernel = image "kernel" { src = ./kernel.deb; };
  microvm = image "initrd" { inherit kernel; machine = "microvm"; };
  q35 = image "initrd" { inherit kernel; machine = "q35"; };
  disk = image "disk" { src = ./root.qcow2; };
  chain = image "disk" { src = ./top.qcow2; backing = [ ./root.qcow2 ]; };
  loader = image "disk" { src = ./loader.qcow2; };
  small = image "disk" { src = ./root.qcow2; maxSize = 4096; };
  undeclared = image "disk" { src = ./top.qcow2; };
  both = image "initrd" { initrds = [ "${microvm}/initrd" ./more.gz ]; };
  odd = image "kernel" { src = ./more.gz; };
}
NIX
built() { hc build --file . "$1" --no-link --print-out-paths "${@:2}" 2>"$WORK/out"; }
# twice NAME TITLE: builds it in two derivations, and compares; the first is linked to by its name.
twice() {
	local one two
	if ! one=$(built "$1") || ! two=$(built "$1" --argstr salt -again); then
		not_ok "$2"
	elif [ "$one" = "$two" ] || ! diff -r "$one" "$two" >"$WORK/out"; then
		not_ok "$2, twice the same"
	else
		ok "$2, twice the same"
	fi
	ln -sfn "$one" "$1"
}
twice minimal "a root file system"
qemu-img convert -c -O qcow2 minimal/rootfs.erofs root.qcow2
qemu-img create -q -f qcow2 -b root.qcow2 -F qcow2 top.qcow2
qemu-io -f qcow2 -c "write -P 0x5a 0 1k" top.qcow2 >/dev/null # in front of where EROFS begins
(mkdir -p more && cd more && echo more >file && echo file | cpio -o -H newc --quiet | gzip -n >../more.gz)

twice kernel "a kernel from Debian's package"
version=$(ls kernel/lib/modules)
# What depmod finds out too, though in another order where there is a choice; and with the binary
# indexes that it makes, modprobe finds its way.
needs() { python3 -c 'import sys; print(*sorted(" ".join(sorted(l.split())) for l in sys.stdin), sep="\n")' <"$1/lib/modules/$version/modules.dep"; }
mkdir depmod && cp -r kernel/lib depmod/lib && chmod -R u+w depmod
check "depmod takes the modules" depmod -b depmod "$version"
check "and finds the same needs" cmp <(needs depmod) <(needs kernel)
check "modinfo reads them" modinfo -b depmod -k "$version" virtio_blk
check "modprobe knows what to load for one" bash -c 'modprobe -d depmod -S "$1" --show-depends erofs | tee /dev/stderr | grep -c ^insmod' - "$version"
check "modules know what they need" grep -q '/erofs.ko: .*/libcrc32c.ko' kernel/lib/modules/*/modules.dep
twice microvm "an initrd for microvm"
twice q35 "an initrd for q35"
modules_in() { cpio -it --quiet <"$1/initrd" | sed -n 's|^hc/modules/\(.*\)\.ko$|\1|p' | sort; }
same "each has the bus of its machine type, and not the other's" "$(for type in microvm q35; do modules_in $type | grep -xE 'virtio_(mmio|pci)'; done | xargs)" "virtio_mmio virtio_pci"
same "and no module that is not loaded" "$(modules_in microvm)" "$(jq -r '.modules[]' microvm/initrd.json | sed 's/^-//; s/\.ko$//' | sort)"
twice both "an initrd of two others"
check "with the files of both" bash -c 'cpio -it --quiet <both/initrd | grep -qx init && cpio -i --quiet --to-stdout file <both/initrd | grep -qx more'
twice disk "a disk from a compressed qcow2 image"
check "is what was in it" cmp disk/disk.raw minimal/rootfs.erofs
twice chain "a disk from an image that lies on another"
check "has what is in both" bash -c 'cmp <(tail -c +1025 chain/disk.raw) <(tail -c +1025 disk/disk.raw) && [ "$(head -c 1 chain/disk.raw)" = Z ]'
refuse 4 "maxSize" "a disk larger than it may be" hc build --file . small --no-link
refuse 4 "not declared: name the file in .backing" "an image that lies on an undeclared one" hc build --file . undeclared --no-link
refuse 4 "neither a bzImage nor an ELF file" "what is no kernel" hc build --file . odd --no-link

khz=$(awk '/cpu MHz/ { printf "%d", $4 * 1000; exit }' /proc/cpuinfo)
# boot MACHINE DISK WORDS: the console is in $WORK/out, what the guest told in $WORK/status.
boot() {
	local bus=pci type=q35
	[ "$1" = q35 ] || bus=device type=microvm,pic=off,pit=off
	[ "$1" = q35 ] || set -- "$@" -bios qboot.rom
	: >"$WORK/status"
	timeout 120 qemu-system-x86_64 -M "$type" -accel tcg -cpu max -m 512 -nodefaults -no-user-config \
		-display none -no-reboot -serial stdio "${@:4}" -kernel kernel/vmlinux -initrd "$1/initrd" \
		-append "console=ttyS0 quiet panic=-1 tsc_early_khz=$khz $3" \
		-drive "id=root,file=$2,format=raw,if=none,readonly=on" \
		-device "virtio-blk-$bus,drive=root,serial=root" -device "virtio-serial-$bus" \
		-chardev "file,id=status,path=$WORK/status" -device virtserialport,chardev=status,name=hc.status
}
check "a microVM runs a command" boot microvm minimal/rootfs.erofs '-- /bin/hc --version'
says '^hc [0-9]' "and what it says is on the console"
same "its exit code is told" "$(cat status)" '{"exit":0}'
check "q35 runs one from the disk that was a qcow2 image" \
	boot q35 disk/disk.raw 'root=serial:root -- /bin/hc no-such-verb'
same "which fails" "$(cat status)" '{"exit":2}'
# Disks that hc did not make: a file system by itself, one in a partition, and a boot loader.
mkdir -p tree/{bin,dev,proc,sys,run,tmp,etc} && cp "$HC" tree/bin/hc && strip tree/bin/hc
check "an ext4 disk" mkfs.ext4 -q -L root -d tree ext4.img 256M
# A partition table (type 83, 524,288 sectors from 2048 on), and behind it the same.
truncate -s 446 part.img
printf '\0\0\0\0\x83\0\0\0\x00\x08\0\0\0\0\x08\0' >>part.img
truncate -s 510 part.img && printf '\x55\xaa' >>part.img && truncate -s 258M part.img
dd if=ext4.img of=part.img bs=1M seek=1 conv=notrunc,sparse status=none
boot microvm ext4.img 'ro -- /bin/hc no-such-verb' >out 2>&1
same "an ext4 disk is booted from" "$(cat status)" '{"exit":2}'
boot q35 part.img 'ro root=/dev/vda1 -- /bin/hc no-such-verb' >out 2>&1
same "and a partition" "$(cat status)" '{"exit":2}'
# mov dx,3F8h; for each byte of the text: out dx,al; then power off by the chipset's own register.
printf '%b' '\xfa\xfc\x31\xc0\x8e\xd8\xbe\x21\x7c\xba\xf8\x03\xac\x84\xc0\x74\x03\xee\xeb\xf8\xba\x04\x06\xb8\x00\x20\xef\xf4\xeb\xfd\x90\x90\x90loaded by the disk\n\x00' >loader.img
truncate -s 510 loader.img && printf '\x55\xaa' >>loader.img && truncate -s 1M loader.img
qemu-img convert -f raw -c -O qcow2 loader.img loader.qcow2
twice loader "a disk with a boot loader"
check "which q35 starts" timeout 60 qemu-system-x86_64 -M q35 -accel tcg -m 64 -nodefaults -no-user-config -display none \
	-no-reboot -serial stdio -drive file=loader/disk.raw,format=raw,if=none,id=d,readonly=on -device virtio-blk-pci,drive=d
says 'loaded by the disk' "and which says so"
check "a machine without its disk powers off" boot microvm minimal/rootfs.erofs 'root=/dev/vdz -- /bin/hc'
says 'cannot start: no root: /dev/vdz is not there.*there are: vda' "and says why"
finish
