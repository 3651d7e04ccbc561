# Forks of a microVM that runs: memory, disk and volumes at one instant, another identity, and the original goes on.
# And microVMs with a root on a disk of their own.
. "$(dirname "$0")/../lib/test.sh"

: "${KERNEL_DEB:?a package of a Debian kernel}"
hc() { timeout 200 "$HC" "$@"; }
mkdir -p "$WORK/cloud" && cp "$KERNEL_DEB" "$WORK/cloud/kernel.deb"
# A disk with a system of busybox on its larger partition, which boots by nothing of its own.
mkdir -p "$WORK"/tree/{bin,sbin,dev,proc,sys,run,tmp,root,etc,var}
cp /bin/busybox "$WORK/tree/bin/"
for name in sh mount cat echo sleep init sync poweroff hostname test sed; do ln -s busybox "$WORK/tree/bin/$name"; done
ln -s ../bin/busybox "$WORK/tree/sbin/init"
printf '::sysinit:/bin/sh /etc/rc\n::respawn:/bin/sleep 1000\n' >"$WORK/tree/etc/inittab"
# shellcheck disable=SC2016 # the machine's
echo 'n=$(cat /root/starts); echo $((n + 1)) >/root/starts; sync' >"$WORK/tree/etc/rc"
echo 0 >"$WORK/tree/root/starts"
mkfs.ext4 -q -d "$WORK/tree" "$WORK/root.ext4" 24M 2>/dev/null
truncate -s 40M "$WORK/cloud/disk.raw"
printf 'label: gpt\nsize=4MiB\nsize=24MiB\n' | sfdisk -q "$WORK/cloud/disk.raw" >/dev/null
dd if="$WORK/root.ext4" of="$WORK/cloud/disk.raw" bs=1M seek=5 conv=notrunc,sparse status=none
mkfs.ext4 -q -E offset=1048576 "$WORK/cloud/disk.raw" 4M 2>/dev/null
# A process that keeps a number and a secret in its memory, and writes the number to its disk; told to by
# a hook it makes a new secret.
# shellcheck disable=SC2016 # the machine's
payload='n=0; make() { secret=$(head -c 16 /dev/urandom | od -An -x); echo "$secret" >/run/secret; }; make; trap make HUP; while :; do n=$((n + 1)); echo $n >/root/n; echo $n >/run/n; sleep 0.05 & wait $!; done'
cloud <<-NIX
	{ images, ... }: {
	  cloud.name = "test";
	  hosts.here.networks = { lan = { }; far = { }; };
	  hosts.here.allow = [ "one -> far" ];
	  hosts.here.machines.there = { image = images.debian; command = [ "/bin/sleep" "infinity" ]; networks = [ "far" ]; };
	  hosts.here.machines.box = { image = images.debian; command = [ "/bin/sleep" "infinity" ]; };
	  hosts.here.machines.one = {
	    aliases = [ "also" ];
	    stop.timeoutSec = 4;
	    kind = "microvm";
	    image = images.debian;
	    vm = { kernel = images.kernel { src = ./kernel.deb; }; layerSize = "1G"; };
	    command = [ "/bin/bash" "-c" ''$payload'' ];
	    files."/etc/hc/forked.d/10-secret" = { mode = "0755"; text = "#!/bin/sh\nkill -HUP \$(pidof bash); hostname >/run/hook\n"; };
	    ready.timeoutSec = 150;
	    volumes.data = { path = "/data"; size = "300M"; keep = true; };
	    volumes.look = { path = "/look"; size = "300M"; readOnly = true; };
	  };
	  hosts.here.machines.own = {
	    kind = "microvm";
	    image = images.disk { src = ./disk.raw; };
	    vm = { kernel = images.kernel { src = ./kernel.deb; }; resume = true; };
	    stop.signal = "USR2";
	    ready.timeoutSec = 150;
	  };
	}
NIX
inside() { hc exec "$1" -- sh -c "$2"; }
check "microVMs are deployed" deploy
same "one has a root on a disk's largest partition, and runs its init" "$(inside own 'cat /proc/1/comm; mount | sed -n "s/^.dev.\(vd[a-z]*2\) on . type ext4 .rw.*/\1/p"' | tr '\n' ' ')" "init vda2 "
begun() { for _ in $(seq 100); do [ "$(inside own 'cat /root/starts')" = "$1" ] && return; sleep 0.1; done; }
begun 1
same "which knows who it is" "$(inside own 'hostname; cat /root/starts' | tr '\n' ' ')" "own 1 "
inside own 'echo mine >/root/mine'
check "it stops as its init does" hc stop own
check "and starts again" hc start own
begun 2
hc logs own >"$WORK/out"
silent "cold" "each time from memory that was saved without its disk"
same "with what it wrote" "$(inside own 'cat /root/mine /root/starts' | tr '\n' ' ')" "mine 2 "
size() { inside own 'cat /sys/class/block/vd?/size' | sort -n | tail -1; }
refuse 1 "does not shrink" "its disk does not shrink while it runs" hc disk grow own 4M
refuse 1 "no disk 'system'" "nor does another grow" hc disk grow own 96M system
check "it grows" hc disk grow own 96M
same "and is at once what the machine sees" "$(size)" $((96 << 11))
same "hc too" "$(hc disk ls --json | jq '.[] | select(.machine == "own").size')" $((96 << 20))
check "it can be forked too" hc fork own copy
same "with its disk" "$(inside copy 'hostname; cat /root/mine /root/starts' | tr '\n' ' ')" "copy mine 2 "
inside copy 'echo its own >/root/mine'
same "which is another from then on" "$(inside own 'cat /root/mine')" mine
check "the fork is stopped" hc stop copy
refuse 1 "is a container" "a container has no memory of its own to fork" hc fork box two
says "microVMs can be forked" "and it is said what has"
refuse 1 "does not run" "what does not run has none either" hc fork nobody two
refuse 1 "machine 'box' already" "nor does a fork take a machine's name" hc fork one box
refuse 1 "machine 'one' has the name 'also', too" "nor another name of one" hc fork one also
# By docs/network.md, that name and 'one' have the same 22 bits.
refuse 1 "machine 'one' has the address that 'm445664' would have" "nor its address" hc fork one m445664
check "that counts" bash -c 'for i in $(seq 100); do "$HC" exec one -- test -s /run/n && exit; sleep 0.1; done; exit 1'
inside one 'echo before >/root/when; mkdir -p /etc/ssh; echo key >/etc/ssh/ssh_host_ed25519_key'
# Still in its memory, in part.
inside one 'head -c 8M /dev/urandom >/data/big'
hc exec one -- sh -c 'sleep 3; echo its own end' >"$WORK/session" &
session=$!
# It may be about to be written.
counted() { for _ in $(seq 50); do inside "$1" 'cat /run/n' | grep . && return; done; }
count=$(counted one)
check "one that runs can be forked" bash -c '"$HC" fork one two --json >"$WORK/fork.json"'
cat "$WORK/fork.json"
same "it says of what, and how long that stood still" "$(jq -r '[.name, .forkOf, (.pauseMs > 0), .disk] | join(" ")' "$WORK/fork.json")" "two one true copy"
wait $session
same "a session in the original goes on" "$(cat "$WORK/session")" "its own end"
same "the fork has what its disk had" "$(inside two 'cat /root/when')" before
same "its process was not begun again" "$([ "$(counted two)" -gt "$count" ] && echo on)" on
inside one 'echo one >/root/when' && inside two 'echo two >/root/when'
sums=$(for m in one two; do inside $m 'sync; echo 3 >/proc/sys/vm/drop_caches; sha256sum /data/big; ls /look | wc -l'; done)
same "the fork has what its volumes had, in memory and written" "$(sort -u <<<"$sums" | cut -d' ' -f2- | xargs)" "0 /data/big"
inside one 'echo one >/data/when' && inside two 'echo two >/data/when'
same "and volumes of its own" "$(inside one 'cat /data/when') $(inside two 'cat /data/when')" "one two"
same "one that can only be read, too" "$(inside two 'touch /look/x 2>&1 | grep -o Read-only')" Read-only
hc volume ls --json >"$WORK/volumes"
same "which are there as long as it is" "$(jq -r '.[] | select(.name | startswith("two/")) | [.name, .inUse, .keep] | join(" ")' "$WORK/volumes" | xargs)" "two/data true false two/look true false"
same "and what is written then is each one's own" "$(inside one 'cat /root/when') $(inside two 'cat /root/when')" "one two"
for m in one two; do
	count=$(counted $m)
	sleep 0.5
	check "$m goes on counting" test "$(counted $m)" -gt "$count"
done

# Another machine.
each() { for m in one two; do inside $m "$1"; done | sort -u | wc -l; }
same "its name" "$(inside two hostname)" two
same "its number" "$(each 'cat /etc/machine-id')" 2
same "it has no key of the original's SSH" "$(inside one 'ls /etc/ssh | grep -c host') $(inside two 'ls /etc/ssh | grep -c host')" "1 0"
same "its random numbers" "$(each 'head -c 16 /dev/urandom | od -An -x')" 2
same "its address" "$(inside two 'ip -6 -o addr show eth0 scope global | tr -s " " | cut -d" " -f4')" "$(jq -r '.addresses[0]' "$WORK/fork.json")/64"
same "and not the original's" "$(inside one 'ip -o addr show eth0' | grep -c "$(jq -r '.addresses[0]' "$WORK/fork.json")")" 0
same "its MAC" "$(each 'cat /sys/class/net/eth0/address')" 2
check "it is reached there" hc exec one -- ping -c1 -W5 "$(jq -r '.addresses[0]' "$WORK/fork.json")"
check "and reaches the original" hc exec two -- ping -c1 -W5 one
address() { hc exec box -- getent ahostsv6 "$1" | awk 'NR == 1 { print $1 }'; }
same "others know its name" "$(address two)" "$(jq -r '.addresses[0]' "$WORK/fork.json")"
check "what the original is allowed" hc exec one -- ping -c1 -W5 "$(machine there 'addresses[0]')"
refuse 1 "Destination unreachable|100% packet loss" "nobody allowed the fork" hc exec two -- ping -c1 -W5 "$(machine there 'addresses[0]')"
same "its hook has run, when it was itself" "$(for _ in $(seq 50); do inside two 'cat /run/hook' && break; sleep 0.1; done)" two
same "the original's has not" "$(inside one 'ls /run/hook 2>/dev/null | wc -l')" 0
same "so a secret that was in memory is each one's own" "$(for _ in $(seq 50); do n=$(each 'cat /run/secret'); [ "$n" = 2 ] && break; sleep 0.1; done; echo "$n")" 2

# A machine beside the others.
same "ps shows whose fork it is" "$(machine two forkOf) $(machine two phase)" "one ready"
check "status too" bash -c '"$HC" status two | grep -q "fork of *one, which stood still"'
check "a fork can be forked" hc fork two three
same "with all that the first has" "$(inside three 'cat /root/when')" two
refuse 1 "machine 'two' already" "a name is used once" hc fork one two
refuse 1 "is a fork" "a fork cannot be started again" hc restart two
check "a deploy leaves it alone" deploy
check "so does another agent" hc agent restart
check "and a collection" hc gc --state
same "it still runs" "$(inside two 'cat /root/when')" two
check "a fork is stopped" hc stop three
same "and is gone" "$(ls /run/hc/machines /var/lib/hc/machines /var/lib/hc/volumes | grep -c three)" 0
same "and so is its name" "$(address three)" ""
kill -9 "$(jq .supervisor_pid /run/hc/machines/two/status.json)"
check "one whose supervisor is killed ends" bash -c 'for i in $(seq 100); do [ "$(pgrep -c qemu-system)" = 2 ] && exit 0; sleep 0.1; done; exit 1'
# Whom nobody asked to stop says nothing.
check "and its name is nobody's" bash -c 'for i in $(seq 100); do "$HC" exec box -- getent hosts two || exit 0; sleep 0.1; done; exit 1'
check "its name can be had again" hc fork one two
same "and it is another" "$(inside two 'cat /root/when')" one
# Its command hears nothing any more, nor is there anything for which the power button means something.
inside one 'kill -STOP $(pidof bash)'
check "one that does not stop" hc stop one
same "is killed at its deadline" "$(hc status one --json | jq -r '[.exit.killed, .exit.requested, .phase] | join(" ")')" "true true stopped"
check "everything is taken away" hc destroy --yes --keep-store
same "except a volume that is to be kept" "$(find /var/lib/hc/volumes -name image)" /var/lib/hc/volumes/one/data/image
check "which goes when that is said" hc volume rm --yes --force one/data
same "forks too" "$(pgrep -c qemu-system)" 0
same "and what they wrote" "$(find /var/lib/hc -type f | wc -l)" 0
finish
