# A PC from its firmware to a login: Secure Boot with the keys that real ones have, TPM, screen and
# keyboard, disks and media. Debian's signed shim, GRUB and kernel are what it starts.
# own store
# nightly
. "$(dirname "$0")/../lib/test.sh"

: "${KERNEL_DEB:?a package of a Debian kernel}" "${UEFI_DEBS:?packages of shim and GRUB}"
: "${DEBIAN_LOCKS:?lock files of Debian releases}"
before=$(footprint)
mkdir -p "$WORK/cloud"
cp "$DEBIAN_LOCKS/pc.lock.json" "$WORK/cloud"
dpkg -x "$KERNEL_DEB" "$WORK/kernel"
cp "$KERNEL_DEB" "$WORK/cloud/kernel.deb"
# The password is `hc`.
# shellcheck disable=SC2016 # a hash
hash=$(openssl passwd -6 -salt salt hc)
cat >"$WORK/parts.nix" <<NIX
let
  builder = "\${builtins.path { path = $HC; name = "hc"; }}";
  image = name: args: import ($top/images + "/\${name}.nix") ({ inherit builder name; } // args);
  kernel = image "kernel" { src = $WORK/cloud/kernel.deb; };
in {
  root = image "debian" { lock = $WORK/cloud/pc.lock.json; users.root.passwordHash = "$hash"; };
  initrd = image "initrd" { inherit kernel; machine = "q35"; modules = [ "button" "evdev" ]; };
}
NIX
part() { hc build --impure --file "$WORK/parts.nix" "$1" --no-link --print-out-paths 2>"$WORK/out"; }
root=$(part root) && initrd=$(part initrd) || not_ok "the parts of a disk"
check "a disk is made of them" "$top/checks/lib/uefi-disk" "$WORK/pc.raw" "$root/rootfs.erofs" "$WORK"/kernel/boot/vmlinuz-* "$initrd/initrd" "$UEFI_DEBS"
check "and kept as qcow2" qemu-img convert -c -O qcow2 "$WORK/pc.raw" "$WORK/cloud/pc.qcow2"
truncate -s 1M "$WORK/cloud/setup.iso"
key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKi1 ada@home"
# describe PC BARE: the cloud with these options of a PC with an image, and of one with an empty disk.
describe() {
	cloud <<-NIX
		{ images, ... }: {
		  cloud.name = "test";
		  hosts.here.networks.lan = { };
		  hosts.here.machines.pc = {
		    kind = "q35"; image = images.disk { src = ./pc.qcow2; };
		    q35 = { memory = "512M"; cloudInit.authorizedKeys = [ "$key" ]; $1 };
		  };
		  hosts.here.machines.bare = {
		    kind = "q35"; stop.timeoutSec = 1;
		    q35 = { memory = "256M"; diskSize = "1G"; tpm = false; $2 };
		  };
		}
	NIX
}
describe 'vcpus = 0;' ''
refuse 3 "q35.vcpus" "a PC without processors" hc plan "path:$WORK/cloud"
describe 'media = [ ./setup.iso ];' ''
refuse 3 "q35.media is what an empty disk is installed from" "one that is installed and is not" hc plan "path:$WORK/cloud"
media='secureBoot = false; media = [ ./setup.iso ]; windows = { };'
describe '' "$media"
check "two PCs are deployed" deploy
same "one is on" "$(machine pc phase)" ready
same "so is the other" "$(machine bare phase)" ready
[ $failed -eq 0 ] || { hc logs pc; hc logs bare; finish; exit; } # the rest waits for them, for minutes
refuse 1 "no hc inside|ssh" "there is no session in one" hc exec pc -- true

console() { cat 2>/dev/null "/var/lib/hc/machines/$1/log/console"; }
# until SECONDS COMMAND…: the command succeeds within that time.
until_() { local end=$((SECONDS + $1)); shift; while ! "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 1; done; }
heard() { console "$1" | tr -d '\r' | grep -Eaq -- "$2"; }
check "the empty one looks for something to start, on its CD too" until_ 180 heard bare 'DVD-ROM'
check "the other one's system asks for a name" until_ 300 heard pc 'login:'

pid=$(machine pc pid)
status() { awk -v f="$1:" '$1 == f { print $2 }' "/proc/$pid/status"; }
check "QEMU is a user of its own" test "$(status Uid)" -ge $((0x10000000))
same "without capabilities" "$(status CapEff)$(status CapBnd)" "00000000000000000000000000000000"
same "in a network of its own" "$(nsenter -t "$pid" -n ip -o link | wc -l)" 1
same "and sees nothing of the host's files" "$(ls "/proc/$pid/root/var" "/proc/$pid/root/nix" "/proc/$pid/root/proc" 2>/dev/null | wc -l)" 0

vnc=$(hc screen pc --socket)
see() { "$top/checks/lib/vnc" "$vnc" look "$WORK/screen.ppm" && tesseract "$WORK/screen.ppm" - --psm 6 2>/dev/null; }
seen() { see | grep -Eq -- "$1"; }
type_() { "$top/checks/lib/vnc" "$vnc" type "$1"; }
check "so does its screen" until_ 60 seen 'login:'
log_in() { until_ 60 seen 'login:' && type_ 'root\n' && until_ 60 seen 'Pass' && type_ 'hc\n' && until_ 60 seen 'root@'; }
check "who types the password is let in" log_in
[ $failed -eq 0 ] || { see; finish; exit; } # everything else is asked there
# ask COMMAND: types it, and gives what it says on the serial console between two marks. It runs in
# shells of its own, so that the mark is a file's length.
ask() {
	local mark
	echo "$1" >>"$WORK/asked"
	mark=$(wc -l <"$WORK/asked")
	type_ "(echo [$mark; $1; echo ]$mark) >/dev/ttyS0 2>&1\n"
	until_ 60 heard pc "^\\]$mark\$" || { see >&2; return 1; }
	# The first mark may stand behind a prompt.
	console pc | tr -d '\r' | sed -n "/\\[$mark\$/,/^\\]$mark\$/p" | sed '1d;$d'
}
same "Secure Boot is on" "$(ask 'dmesg | grep -ic "secure boot enabled"')" 1
same "and locks the kernel down" "$(ask 'cat /sys/kernel/security/lockdown' | grep -c '\[integrity\]')" 1
same "there is a TPM 2" "$(ask 'cat /sys/class/tpm/tpm0/tpm_version_major')" 2
same "what cloud-init looks for" "$(ask 'dd if=/dev/vdb bs=1 skip=32808 count=6 status=none; echo')" cidata
same "with who may log in" "$(ask "grep -ac '$key' /dev/vdb")" 2
same "and its own address" "$(ask "grep -ao 'fd[0-9a-f:]*/64' /dev/vdb" | head -1)" "$(machine pc 'addresses[0]')/64"
viewer() { timeout 20 "$HC" screen pc >"$WORK/vnc" & sleep 1; python3 -c '
import socket, sys
host, port = sys.argv[1].removeprefix("vnc://").rsplit(":", 1)
print(socket.create_connection((host, int(port))).recv(12).decode().strip())' "$(cat "$WORK/vnc")"; }
same "a viewer over TCP" "$(viewer)" "RFB 003.008"
refuse 1 "shows no screen" "a machine without one" hc screen nobody

# What is kept.
state=/var/lib/hc/machines
check "the firmware's variables are its own" bash -c "! cmp -s $state/pc/nvram /usr/share/OVMF/OVMF_VARS_4M.ms.fd"
check "the TPM has a state" test -s "$state/pc/tpm/tpm2-00.permall"
same "no image was copied" "$(hc disk ls --json | jq -r '.[] | select(.machine == "pc") | .method')" overlay
# What is flushed is in a snapshot, and what comes later is not. The root cannot be written to: it is
# written where no partition is.
note() { ask "echo $1 | dd of=/dev/vda bs=512 seek=1000 conv=fsync status=none; echo \$?"; }
noted() { ask 'dd if=/dev/vda bs=512 skip=1000 count=1 status=none | head -n 1'; }
same "something is written" "$(note one)" 0
same "and read" "$(noted)" one
check "a snapshot while it runs" hc disk snapshot pc@first --json
same "for which it stood still" "$(jq '.pausedUs > 0' "$WORK/out")" true
refuse 1 "hc stop pc" "it is not put in the place of what runs" hc disk restore pc@first
same "something else is written" "$(note two)" 0
check "its disk grows while it runs" hc disk grow pc 9G
same "and it sees that at once" "$(ask 'cat /sys/class/block/vda/size')" $((9 << 21))
check "it can be restarted" bash -c "echo kept >$state/pc/mark && '$HC' stop pc"
check "it powered off by itself" bash -c "! '$HC' logs pc | grep -q 'did not stop in time'"
same "and said so" "$(hc ps --json | jq -r '.[] | select(.name == "pc") | .exit.code')" 0
check "it goes back to the snapshot" hc disk restore pc@first
check "and what it was is kept" bash -c "'$HC' disk ls pc --json | jq -e '.[0].snapshots | length == 2'"
check "started again" hc start pc
check "it comes up with what it had" until_ 300 bash -c "[ \$(grep -ac 'login:' $state/pc/log/console) -ge 2 ]"
check "a second login" log_in
same "as it was at the snapshot" "$(noted)" one
same "with the TPM that it had" "$(ask 'cat /sys/class/tpm/tpm0/tpm_version_major')" 2

# Media are there until something was written.
check "the answers are not lost: the password is kept" grep -Eq '^.{23,}$' "$state/bare/windows-password"
same "and secret" "$(stat -c %a "$state/bare/windows-password")" 600
hc stop bare >/dev/null
printf x | dd of="$state/bare/disks/system/disk.raw" conv=notrunc status=none
mv "$state/bare/log/console" "$state/bare/log/console.old"
check "a PC whose disk was written to is started" hc start bare
check "it finds nothing to start" until_ 180 heard bare 'No bootable option|BdsDxe'
check "and has no CD any more" bash -c "! grep -aq DVD-ROM $state/bare/log/console"

describe 'vcpus = 2;' "$media"
check "another description" deploy
same "keeps the disk" "$(cat "$state/pc/mark")" kept
check "destroy" hc destroy --yes
same "leaves nothing" "$(footprint | grep -Ev 'processes|cgroups')" "$(echo "$before" | grep -Ev 'processes|cgroups')"
finish
