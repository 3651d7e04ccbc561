# The channel into virtual machines: who they are, what runs in them, sessions, files, standing still
# and going on as another machine; under QEMU without hardware virtualisation. The host's end is
# checks/lib/guest, which shares no code with hc's.
# own store
. "$(dirname "$0")/../lib/test.sh"

: "${KERNEL_DEB:?a package of a Debian kernel}"
cd "$WORK"
cp "$HC" hc
cp "$KERNEL_DEB" kernel.deb
ln -sfn "$top/images" images
cat >default.nix <<'NIX'
let
  builder = "${builtins.path { path = ./hc; name = "hc"; }}";
  image = name: args: import (./images + "/${name}.nix") ({ inherit builder name; } // args);
in rec {
  kernel = image "kernel" { src = ./kernel.deb; };
  microvm = image "initrd" { inherit kernel; machine = "microvm"; };
  q35 = image "initrd" { inherit kernel; machine = "q35"; };
}
NIX
for one in kernel microvm q35; do
	hc build --file . $one --out-link $one >out 2>&1 || not_ok "$one"
done

# A root of busybox alone, which brings a host key and a random seed as images do that were started once.
mkdir -p tree/{bin,sbin,dev,proc,sys,run,tmp,root,usr/bin,var/lib/systemd,etc/ssh,home/web}
cp /bin/busybox tree/bin/
for name in $(/bin/busybox --list | grep -vx busybox); do ln -s busybox tree/bin/"$name"; done
ln -s ../bin/busybox tree/sbin/init
printf 'root:x:0:0::/root:/bin/sh\nweb:x:33:33::/home/web:/bin/sh\n' >tree/etc/passwd
printf 'root:x:0:\ntty:x:5:\nweb:x:33:\nlog:x:44:web\n' >tree/etc/group
printf '::sysinit:/bin/echo the init of busybox\n::respawn:/bin/sleep 1000\n' >tree/etc/inittab
ln -s /nowhere/resolv.conf tree/etc/resolv.conf
echo baked | tee tree/etc/ssh/ssh_host_rsa_key >tree/var/lib/systemd/random-seed
chown 33:33 tree/home/web
check "a root file system" mkfs.erofs root.erofs tree

khz=$(awk '/cpu MHz/ { printf "%d", $4 * 1000; exit }' /proc/cpuinfo)
# boot MACHINE DISK WORDS QEMU'S…: begins a machine; its port is $WORK/port, its QMP socket $WORK/qmp.
boot() {
	local bus=pci type=q35
	[ "$1" = q35 ] || bus=device type=microvm,pic=off,pit=off
	[ "$1" = q35 ] || set -- "$@" -bios qboot.rom
	rm -f port qmp
	timeout 300 qemu-system-x86_64 -M "$type" -accel tcg -cpu max -m 512 -nodefaults -no-user-config \
		-display none -no-reboot -serial file:console -kernel kernel/vmlinux -initrd "$1/initrd" \
		-append "console=ttyS0 quiet panic=-1 tsc_early_khz=$khz $3" \
		-drive "id=root,file=$2,format=raw,if=none,readonly=on" \
		-device "virtio-blk-$bus,drive=root,serial=root" -device "virtio-serial-$bus" \
		-chardev socket,id=guest,path=port,server=on,wait=off -device virtserialport,chardev=guest,name=hc.guest \
		-netdev hubport,id=net,hubid=0 -device "virtio-net-$bus,netdev=net,mac=02:00:00:00:00:01" \
		-device "virtio-rng-$bus" -device "virtio-balloon-$bus,deflate-on-oom=on" \
		-qmp unix:qmp,server=on,wait=off "${@:4}" 2>qemu.err &
	machine=$!
	for _ in $(seq 100); do
		[ ! -S qmp ] || break
		sleep 0.1
	done
}
# resume DISK FILE: a machine that was saved.
resume() {
	boot microvm "$1" '' -incoming "exec:cat $2"
	for _ in $(seq 100); do
		qmp '{ "execute": "query-status" }' | grep -q inmigrate || break
		sleep 0.1
	done
	qmp '{ "execute": "cont" }' >out
}
guest() { "$top/checks/lib/guest" port "$@"; }
qmp() { "$top/checks/lib/qmp" qmp "$@"; }
inside() { guest exec -- "$@"; }
# identity HOSTNAME NUMBER PAYLOAD READY [MORE]: in identity.json. The number is in all that tells
# machines apart.
identity() {
	local number
	number=$(printf %02x "$2")
	jq -n --argjson payload "$3" --argjson ready "$4" --argjson more "${5:-{\}}" \
		--arg name "$1" --arg n "$number" '{
		hostname: $name, machine_id: ("0123456789abcdef0123456789abcd" + $n),
		hosts: "127.0.0.1 localhost\n", resolver: "nameserver fd00::1\n",
		interfaces: [{ device: "02:00:00:00:00:01", mac: ("02:00:00:00:00:" + $n), name: "lan0", mtu: 1400,
			addresses: ["fd00::\($n)/64", "100.64.0.2/32"],
			neighbours: [["fd00::1", "02:00:00:00:00:fe"], ["100.64.0.1", "02:00:00:00:00:fe"]] }],
		routes: [{ to: "::/0", via: "fd00::1", interface: "lan0" },
			{ to: "0.0.0.0/0", via: "100.64.0.1", interface: "lan0" }],
		files: [], payload: $payload, ready: $ready } + $more' >identity.json
}
# sum TITLE TEXT COMMAND…: what the command says, blanks aside.
sum() {
	local title=$1 text=$2
	shift 2
	same "$title" "$("$@" 2>&1 | tr -s '[:space:]' ' ' | sed 's/ $//')" "$text"
}

# --- A command: everything of its identity, and its own streams.
boot microvm root.erofs ''
sum "a machine without an identity waits for one" "Hello 2 nobody" guest hello
refuse 1 "has no identity" "and runs nothing before" inside true
identity one 2 '{}' '"started"' '{ "interfaces": [{ "device": "02:00:00:00:00:99", "name": "x" }], "routes": [] }'
refuse 1 "x: no device has the MAC 02:00:00:00:00:99" "an interface that is not there is an error" guest identity identity.json
identity one 2 '{}' '"started"' '{ "files": [{ "path": "etc/x", "contents": "" }] }'
refuse 1 "no absolute path" "and a file without a place" guest identity identity.json
identity one 2 '{ "command": ["sh", "-c", "sleep 1; echo $A; echo wrong >&2; id; pwd; trap \"echo told; exit 3\" TERM; while :; do sleep 0.1; done"],
	"env": { "A": "from the host" }, "user": "web", "directory": "/home/web" }' '"started"' \
	'{ "files": [{ "path": "/root/.ssh/authorized_keys", "mode": "0600", "contents": "ssh-ed25519 AAAA\n" },
		{ "path": "/srv/long", "contents": "0123456789abcdef", "times": 60000, "uid": 33 }], "clock": 2000000000000000000 }'
sum "then the right one starts it" "Identified Started Ready" guest identity identity.json
guest hello 3 >said
sum "it runs as its user, in its directory, with its variables" \
	"from the host uid=33(web) gid=33(web) groups=33(web),44(log) /home/web" \
	sh -c 'sed -n "s/^Output //; /^from\|^uid\|^.home/p" said'
sum "and its errors are told apart" "Error wrong" grep wrong said
sum "its name" "one one" inside sh -c 'hostname; cat /etc/hostname'
sum "its number" 0123456789abcdef0123456789abcd02 inside cat /etc/machine-id
sum "its resolver, in place of a link" "nameserver fd00::1" inside cat /etc/resolv.conf
sum "its files" "600 0 17 644 33 960000" inside stat -c '%a %u %s' /root/.ssh/authorized_keys /srv/long
sum "its clock" 2033 inside date +%Y
sum "keys and seeds of the image are gone" "" inside sh -c 'ls /etc/ssh; ls /var/lib/systemd'
sum "its links" "lo:127.0.0.1/8 lo:::1/128 lan0:100.64.0.2/32 lan0:fd00::2/64" \
	inside sh -c 'ip a | awk "/^[0-9]/ { n = \$2 } /inet/ && !/fe80/ { print n \$2 }"'
sum "with their MAC and MTU" "1400 02:00:00:00:00:02" inside cat /sys/class/net/lan0/mtu /sys/class/net/lan0/address
sum "its routes" "default via 100.64.0.1 dev lan0 onlink default via fd00::1 dev lan0 metric 1024 onlink" \
	inside sh -c 'ip route; ip -6 route | grep default'
sum "whom it need not ask for" 2 inside sh -c 'ip neigh | grep -c "lladdr 02:00:00:00:00:fe.*PERMANENT"'
sum "it takes no router's word" "0 0" inside cat /proc/sys/net/ipv6/conf/lan0/accept_ra /proc/sys/net/ipv6/conf/lan0/accept_dad
sum "random numbers and memory are there to be had" "virtio_rng.0 1" \
	inside sh -c 'cat /sys/class/misc/hw_random/rng_current; ls -d /sys/bus/virtio/drivers/virtio_balloon/virtio* | wc -l'

# --- Sessions.
refuse 7 "" "a session's exit code" inside sh -c 'exit 7'
refuse 137 "" "a session's signal" inside sh -c 'kill -9 $$'
refuse 1 "'nope' does not exist in the image" "a program that is not there" inside nope
refuse 1 "user 'nobody' does not exist" "a user who is not there" guest exec -u nobody -- id
sum "user, group, directory and environment" "uid=33(web) gid=44(log) groups=44(log) /srv from the host b" \
	guest exec -u 33:log -d /srv -e B=b -- sh -c 'id; pwd; echo $A $B'
sum "a terminal" "/dev/pts/0 50 120 web tty" \
	guest exec -t -u web -- sh -c 'tty; stty size; stat -c "%U %G" $(tty)'
sum "which can be typed on" 4 bash -c 'echo "exit \$((1 + 3))" | "$1" port exec -t -- sh >/dev/null; echo $?' - "$top/checks/lib/guest"
head -c 3000000 /dev/urandom >random
sum "input of any length, to its end" "$(sha256sum <random | tr -s " ")" bash -c '"$1" port exec -- sha256sum <random' - "$top/checks/lib/guest"
check "30 at once, each with its own" guest many 30
check "one that is not listened to waits, and no other" guest slow
says "held at the window" "as long as its window is"
check "one that nobody wants is hung up on, and killed" guest close sh -c 'echo x; trap "" HUP; sleep 555 & wait; sleep 555'
says "signal 9" "if it has to be"
sleep 3 # the other's connection has gone, which is the same
sum "with all of its own" 0 inside sh -c 'ps | grep -c "[s]leep 555"'
guest noise >/dev/null 2>&1
sum "what is no message ends nothing" "fine" inside echo fine

# --- Files.
guest pack /bin >bin.tar
mkdir -p copy && tar -xf bin.tar -C copy
check "a tree from the machine" diff -r --no-dereference copy/bin tree/bin
sum "in the order of its names" "$(tar -tf bin.tar | LC_ALL=C sort -c 2>&1)" true
mkdir -p send && echo text >send/file && ln -f send/file send/same && ln -sf file send/link && chmod 640 send/file
tar -C send --owner=33 --group=44 -cf send.tar .
check "and to it" bash -c '"$1" port unpack /srv/sent <send.tar' - "$top/checks/lib/guest"
sum "with all that belongs to it" "text 640 33 44 2 file" \
	inside sh -c 'cat /srv/sent/same; stat -c "%a %u %g %h" /srv/sent/file; readlink /srv/sent/link'
tar -cf out.tar --transform 's,^,../,' -C send file
refuse 1 "leads out" "but nothing beside it" bash -c '"$1" port unpack /srv/sent <out.tar' - "$top/checks/lib/guest"
refuse 1 "no such file" "what is not there cannot be had" guest pack /nope
sum "it stops as its description says" "told|Ended code 3" bash -c '"$1" port stop | sed -n "s/^Output //p; /Ended/p" | paste -sd"|"' - "$top/checks/lib/guest"
check "and is off" wait "$machine"

# --- Saved before anything ran: what comes of it are two machines.
boot microvm root.erofs ''
guest hello >/dev/null
sum "a machine stands still before it has an identity" "Quiet" guest quiesce
save() { qmp '{ "execute": "stop" }' '{ "execute": "migrate", "arguments": { "uri": "exec:cat >'"$1"'" } }' '{ "execute": "quit" }'; }
check "and is saved" save blank
wait "$machine"
about() {
	resume root.erofs blank
	identity "$1" "$2" '{ "command": ["sh", "-c", "head -c 16 /dev/urandom | xxd -p; exec sleep 99"] }' '"started"'
	guest identity identity.json >said-"$1"
	inside sh -c 'hostname; cat /etc/machine-id /sys/class/net/lan0/address /proc/sys/kernel/random/boot_id; date +%Y; xxd -p -l 16 /dev/urandom' >"$1"
	guest stop >/dev/null
	wait "$machine"
}
about first 3
about second 4
same "each of its copies starts" "$(sed -n '/Started/p;/Ready/p' said-first said-second | sort | uniq -c | xargs)" "2 Ready 2 Started"
same "with its own name" "$(head -1 first) $(head -1 second)" "first second"
same "number" "$(sed -n 2p first | tail -c 3)$(sed -n 2p second | tail -c 3)" 0304
same "MAC" "$(sed -n 3p first) $(sed -n 3p second)" "02:00:00:00:00:03 02:00:00:00:00:04"
same "the time" "$(sed -n 5p second)" "$(date +%Y)"
check "and random numbers" bash -c '[ -n "$(sed -n 6p first)" ] && [ "$(sed -n 6p first)" != "$(sed -n 6p second)" ]'

# --- Saved while it ran.
boot microvm root.erofs ''
watch='while :; do read up _ </proc/uptime; name=$(hostname); read now _ </proc/uptime; echo $up $name $now; sleep 0.02; done >/tmp/log'
identity before 5 "$(jq -n --arg w "$watch" '{ command: ["sh", "-c", $w] }')" '"started"'
guest identity identity.json >/dev/null
sum "a machine stands still with all that runs in it" "Quiet" guest quiesce sh -c 'echo x; sleep 777'
check "and is saved" save running
wait "$machine"
resume root.erofs running
sum "its copy knows that it was somebody" "Hello 2 identified Started Ready" guest hello 1
refuse 1 "stands still" "and does nothing yet" inside true
identity after 6 '{}' '"started"'
sum "until it is another" "Started Ready Identified" guest identity identity.json Identified
sleep 1
inside cat /tmp/log >log
# A line that it stood still in is of neither.
check "which is all that its payload sees" awk '
	$3 - $1 >= 1 { next }
	$2 == "before" { if (seen) exit bad = 1; last = $1 }
	$2 == "after" { if (!seen) { seen = 1; if ($1 - last < 1) exit bad = 1 } }
	END { exit !seen || bad }' log
sum "sessions stayed behind" 0 inside sh -c 'ps | grep -c "[s]leep 777"'
sum "so did the old addresses" "fd00::6 02:00:00:00:00:06" \
	inside sh -c 'ip -6 a show lan0 | sed -n "s,.*inet6 \(fd[^/]*\).*,\1,p"; cat /sys/class/net/lan0/address'
sum "routes were made again" 2 inside sh -c '(ip route; ip -6 route) | grep -c default'
guest quiesce >/dev/null
sum "the same identity again changes nothing" "Started Ready Identified" guest identity identity.json Identified
sum "and all goes on" "fine" inside echo fine
guest stop >/dev/null
wait "$machine"

# --- Readiness, other ends, other roots.
boot q35 root.erofs ro
identity port 7 '{ "command": ["sh", "-c", "sleep 1; echo serving; exec httpd -f -p 8080"], "signal": 9 }' 8080
sum "ready when its port answers" "Identified Started Output serving Ready" guest identity identity.json
refuse 1 "read-only file system" "nothing else is written where nothing may be" inside sh -c 'echo >/x'
sum "but who it is" port inside cat /etc/hostname
sum "stopped by a signal" "Started Ready Ended signal 9" guest stop
wait "$machine"
boot microvm root.erofs ''
identity bad 8 '{ "command": ["/nope"] }' '"started"'
refuse 1 "'/nope' does not exist in the image" "a payload that is not there is told" guest identity identity.json
sum "and the machine stops" "Ended code 0" guest stop
wait "$machine"

boot microvm root.erofs ''
identity typed 12 '{ "command": ["sh"], "terminal": [40, 100], "input": true }' '"started"'
guest identity identity.json >/dev/null
refuse 5 "40 100" "a payload with a terminal can be typed to" bash -c 'echo "stty size; exit 5" | "$1" port attach' - "$top/checks/lib/guest"
wait "$machine"
boot microvm root.erofs ''
identity fed 13 '{ "command": ["sha256sum"], "input": true }' '"started"'
guest identity identity.json >/dev/null
sum "and one that takes input gets all of it" "$(sha256sum <random | tr -s " ")" bash -c '"$1" port attach <random' - "$top/checks/lib/guest"
check "after which the machine is off" wait "$machine"

# --- Other programs as process 1: busybox's, and systemd with SSH.
boot microvm root.erofs ''
identity init 9 '{ "init": true, "signal": 12, "env": { "FROM": "host" } }' '"started"'
sum "the image's init" "Identified Started Ready" guest identity identity.json
sum "is process 1, and hc another" "init @init FROM=host" \
	inside sh -c 'cat /proc/1/comm; tr "\0" "\n" </proc/$PPID/cmdline; tr "\0" "\n" </proc/1/environ | grep FROM'
sum "its sessions are hc's" "0::/hc" inside cat /proc/self/cgroup
guest stop >/dev/null
wait "$machine"
check "it wrote to the console, and powered off" grep -q "the init of busybox" console

# This host's own packages make a small system of their own.
apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks \
	--no-replaces --no-enhances systemd systemd-sysv dbus openssh-server login bash dash coreutils grep \
	sed procps iproute2 util-linux | grep '^[a-z]' | sort -u | xargs dpkg -L 2>/dev/null |
	grep -Ev '^/usr/share/(doc|man|locale|info|perl)|^/usr/lib/x86_64-linux-gnu/(perl|gconv)' |
	sed -E 's,^/(bin|sbin|lib|lib64)/,/usr/\1/,; /^\/(bin|sbin|lib|lib64|\.)$/d; s,^/,,' | sort -u >files
mkdir -p system/{usr,dev,proc,sys,run,tmp,root,etc/systemd/system/multi-user.target.wants}
tar -C / --no-recursion -cf - -T files 2>/dev/null | tar -C system -xf -
for name in bin sbin lib lib64; do ln -sfn usr/$name system/$name; done
ln -sf dash system/usr/bin/sh
cp /usr/share/base-passwd/passwd.master system/etc/passwd
cp /usr/share/base-passwd/group.master system/etc/group
echo 'sshd:x:105:65534::/run/sshd:/usr/sbin/nologin' >>system/etc/passwd
echo 'messagebus:x:106:106::/nonexistent:/usr/sbin/nologin' >>system/etc/passwd
echo 'messagebus:x:106:' >>system/etc/group
echo 'root:*:1::::::' >system/etc/shadow
cp -r /etc/pam.d system/etc/ 2>/dev/null
printf 'HostKey /etc/ssh/ssh_host_ed25519_key\nUsePAM no\n' >system/etc/ssh/sshd_config
ssh-keygen -q -t ed25519 -N '' -C baked -f system/etc/ssh/ssh_host_ed25519_key
ln -s /lib/systemd/system/ssh.service system/etc/systemd/system/multi-user.target.wants/
ln -s /dev/null system/etc/systemd/system/serial-getty@ttyS0.service # which waits for udev
check "a system of systemd" mkfs.erofs system.erofs system
boot microvm system.erofs ''
identity system 10 '{ "init": true }' '"notify"'
guest identity identity.json >said
check "systemd says when it is ready" grep -q "^Ready" said
sum "it is running" "running system" inside sh -c 'systemctl is-system-running; hostnamectl --static'
key() { inside ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key | cut -d' ' -f2; }
baked=$(ssh-keygen -lf system/etc/ssh/ssh_host_ed25519_key | cut -d' ' -f2)
first=$(key)
check "its SSH key is its own" [ -n "$first" ] && [ "$first" != "$baked" ]
guest identity identity.json Identified >/dev/null
same "and stays that" "$(key)" "$first"
sum "a machine of systemd stands still" "Started Ready Quiet" guest quiesce
check "and is saved" save systemd
wait "$machine"
resume system.erofs systemd
identity other 11 '{ "init": true }' '"notify"'
sum "its copy goes on as another" "Started Ready Identified" guest identity identity.json Identified
sum "with the name of that" "running other 0123456789abcdef0123456789abcd0b" \
	inside sh -c 'systemctl is-system-running; hostnamectl --static; cat /etc/machine-id'
second=$(key)
check "an SSH key of that" [ -n "$second" ] && [ "$second" != "$first" ]
sum "which its server has" "$second" inside sh -c 'ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null | ssh-keygen -lf - | cut -d" " -f2'
sum "it is powered off by its own init" "gone" bash -c '"$1" port stop | tail -1' - "$top/checks/lib/guest"
check "for good" wait "$machine"
finish
