# Images of virtual machines: made by hc's builders, twice with the same bytes, and booted under QEMU
# without hardware virtualisation.
. "$(dirname "$0")/../lib/test.sh"

# made DIR WHAT NAME=VALUE…: runs a builder as a derivation would, with nothing else in its environment.
made() {
	local out=$1 what=$2
	shift 2
	env -i out="$out" "$@" "$HC" builder "$what"
}

: "${KERNEL_DEB:?a package of a Debian kernel}"
for n in 1 2; do
	check "a kernel from Debian's package ($n)" made "$WORK/kernel$n" kernel src="$KERNEL_DEB"
	for machine in microvm q35; do
		check "an initrd for $machine ($n)" \
			made "$WORK/$machine$n" initrd kernel="$WORK/kernel$n" machine=$machine
	done
	sleep 1.1 # another second, for what would note the time
done
check "two kernels are the same" diff -r "$WORK/kernel1" "$WORK/kernel2"
check "two initrds are the same" diff -r "$WORK/microvm1" "$WORK/microvm2"
check "modules know what they need" grep -q '/erofs.ko: .*/libcrc32c.ko' \
	"$WORK"/kernel1/lib/modules/*/modules.dep
check "a root file system" made "$WORK/root" minimal-rootfs
qemu-img convert -c -O qcow2 "$WORK/root/rootfs.erofs" "$WORK/root.qcow2"
check "a disk from a compressed qcow2 image" made "$WORK/disk" disk src="$WORK/root.qcow2"
check "is what was in it" cmp "$WORK/disk/disk.raw" "$WORK/root/rootfs.erofs"

khz=$(awk '/cpu MHz/ { printf "%d", $4 * 1000; exit }' /proc/cpuinfo)
# boot MACHINE DISK WORDS: the console is in $WORK/out, what the guest told in $WORK/status.
boot() {
	local bus=pci type=q35
	[ "$1" = q35 ] || bus=device type=microvm,pic=off,pit=off
	[ "$1" = q35 ] || set -- "$@" -bios qboot.rom
	: >"$WORK/status"
	timeout 120 qemu-system-x86_64 -M "$type" -accel tcg -cpu max -m 512 -nodefaults -no-user-config \
		-display none -no-reboot -serial stdio "${@:4}" \
		-kernel "$WORK/kernel1/vmlinux" -initrd "$WORK/${1}1/initrd" \
		-append "console=ttyS0 quiet panic=-1 tsc_early_khz=$khz $3" \
		-drive "id=root,file=$2,format=raw,if=none,readonly=on" \
		-device "virtio-blk-$bus,drive=root,serial=root" -device "virtio-serial-$bus" \
		-chardev "file,id=status,path=$WORK/status" -device virtserialport,chardev=status,name=hc.status
}
check "a microVM runs a command" boot microvm "$WORK/root/rootfs.erofs" '-- /bin/hc --version'
says '^hc [0-9]' "and what it says is on the console"
same "its exit code is told" "$(cat "$WORK/status")" '{"exit":0}'
check "q35 runs one from the disk that was a qcow2 image" \
	boot q35 "$WORK/disk/disk.raw" 'root=serial:root -- /bin/hc no-such-verb'
same "which fails" "$(cat "$WORK/status")" '{"exit":2}'
check "a machine without its disk powers off" \
	boot microvm "$WORK/root/rootfs.erofs" 'root=/dev/vdz -- /bin/hc'
says 'cannot start: no root: /dev/vdz is not there.*there are: vda' "and says why"
check "the functions in images/ evaluate" "$HC" eval --impure --raw --expr "
	let builder = builtins.toFile \"hc\" \"\"; src = builder; i = name: import $top/images/\${name}.nix;
	in toString (map (d: d.drvPath) [
	  (i \"disk\" { inherit builder src; }) (i \"kernel\" { inherit builder src; })
	  (i \"initrd\" { inherit builder; kernel = i \"kernel\" { inherit builder src; }; }) ])"
finish
