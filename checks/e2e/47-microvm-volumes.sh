# Volumes of a microVM, memory at a path, and what QEMU could get out by.
. "$(dirname "$0")/../lib/test.sh"

: "${KERNEL_DEB:?a package of a Debian kernel}"
# What hangs is a failure of its own, and the rest is still to be seen.
hc() { timeout 200 "$HC" "$@"; }
mkdir -p "$WORK/cloud" && cp "$KERNEL_DEB" "$WORK/cloud/kernel.deb"
describe() { # MORE-OF-db
	cloud <<-NIX
		{ images, ... }: {
		  cloud.name = "test";
		  hosts.one.networks.lan = { };
		  hosts.one.machines.db = {
		    kind = "microvm";
		    image = images.debian;
		    vm = { kernel = images.kernel { src = ./kernel.deb; }; layerSize = "1G"; balloon = "200M"; };
		    command = [ "/bin/sleep" "infinity" ];
		    user = "www-data";
		    stop.signal = "KILL";
		    volumes.data = { path = "/var/www"; size = "300M"; };
		    volumes.deep = { path = "/var/www/deep/er"; size = "300M"; };
		    tmpfs."/scratch".size = "16M";
		    files."/var/www/deep/er/laid".text = "laid";
		    $1
		  };
		}
	NIX
}
describe 'binds."/srv".source = "/srv/x"; devices."/dev/fuse" = { }; limits.rootSize = "1G";'
refuse 3 "binds is for containers.*none of the host's files; lay .files., use .volumes." "what a machine with a kernel cannot have is said" deploy
says "devices is for containers" "each"
says "rootSize is for containers: use vm.layerSize" "and what to use instead"
describe ''
# Where snapshots share their blocks.
truncate -s 4G "$WORK/xfs.img" && mkfs.xfs -q "$WORK/xfs.img" && mount -o loop "$WORK/xfs.img" /var/lib/hc || exit 1
check "a microVM with volumes is deployed" deploy
inside() { hc exec db -- sh -c "$1"; }
room() { inside "df --output=size -k /var/www | tail -1" | tr -d ' '; }
same "they are where they belong, and nothing else" "$(inside "grep -E '^/dev/vd' /proc/mounts" | cut -d' ' -f2,3 | xargs)" \
	"/var/www xfs /var/www/deep/er xfs"
same "with files of the machine" "$(inside 'cat /var/www/deep/er/laid')" laid
same "memory too, of its size" "$(inside 'df --output=fstype,size -k /scratch | tail -1 | xargs')" "tmpfs 16384"
same "this host's kernel sees none of their file systems" "$(losetup -a | grep -c volumes/db)" 0
inside 'echo one >/var/www/file; chown www-data /var/www/file; head -c 20M /dev/urandom >/var/www/big'
check "a snapshot while it runs, without a word of sync" hc volume snapshot db/data@first
inside 'echo two >/var/www/file'
small=$(room)
check "it grows while it runs" hc volume grow db/data 1G
check "and has the room" [ "$(room)" -gt $((small * 3)) ]
inside 'echo three >/var/www/file; head -c 400M /dev/zero | tr "\0" x >/var/www/large'
refuse 1 "has [0-9]+ bytes and does not shrink" "it does not shrink" hc volume grow db/data 400M

# --- A fork has volumes of its own, of the same blocks.
check "it can be forked" bash -c '"$HC" fork db other --json >"$WORK/fork.json"'
same "which copies nothing" "$(jq -r .disk "$WORK/fork.json")" reflink
other() { hc exec other -- sh -c "$1"; }
same "the fork has what is in its volumes" "$(other 'sync; echo 3 >/proc/sys/vm/drop_caches; cat /var/www/file; stat -c %s /var/www/large' | xargs)" "three 419430400"
other 'rm /var/www/large; echo mine >/var/www/file; sync'
same "and they are its own" "$(inside 'sync; echo 3 >/proc/sys/vm/drop_caches; cat /var/www/file; stat -c %s /var/www/large' | xargs)" "three 419430400"
check "they grow" hc volume grow other/data 2G
check "with the room" [ "$(other 'df --output=size -k /var/www | tail -1')" -gt $(($(room) * 3 / 2)) ]
check "the fork is stopped" hc stop other
same "and they are gone" "$(find /var/lib/hc/volumes -path '*other*' | wc -l)" 0

# --- Memory that its system frees is the host's again.
used() { hc status db --json | jq .usage.anonymousBytes; }
inside 'head -c 80M /dev/urandom >/dev/shm/much'
full=$(used)
inside 'rm /dev/shm/much'
check "what is freed inside is given back" bash -c 'for i in $(seq 100); do [ "$("$HC" status db --json | jq .usage.anonymousBytes)" -lt $(($1 - 50000000)) ] && exit; sleep 0.2; done; echo "$1"; "$HC" status db; exit 1' _ "$full"
# left RELATION KIB: waits until its programs may use so much.
left() { bash -c 'for i in $(seq 100); do [ "$("$HC" exec db -- awk "/^MemAvailable/ { print \$2 }" /proc/meminfo)" "$1" "$2" ] && exit; sleep 0.1; done; "$HC" exec db -- cat /proc/meminfo; exit 1' _ "$@"; }
available() { inside "awk '/^MemAvailable/ { print \$2 }' /proc/meminfo"; }
some=$(available)
check "it uses as much as its description says, until it is told to use all" hc memory db 256M
check "and does" left -gt $((some + 40000))
all=$(available)
check "it may be told to use less" hc memory db 200M
check "and does" left -lt $((all - 40000))
refuse 1 "from 1 to 268435456 bytes" "no more than it has" hc memory db 1G
check "and all again" hc memory db 256M
check "which it does" left -gt $((all - 20000))
check "status" hc status db
says "memory +[0-9.]+ MiB of the host.s, for a machine with 256.0 MiB" "tells how much of its memory it has taken"

# --- What QEMU could get out by, and what a guest can do with its disks.
pid=$(machine db pid)
status() { awk -v f="$1:" '$1 == f { $1 = ""; print substr($0, 2) }' "/proc/$pid/status"; }
uid=$(status Uid | cut -d' ' -f1)
check "its user is no user of the host" test "$uid" -ge $((0x10000000))
for field in Uid Gid; do same "$field: it is nobody else, nor was" "$(status $field)" "$uid $uid $uid $uid"; done
same "it is in no group besides" "$(status Groups)" ""
for set in CapInh CapPrm CapEff CapBnd CapAmb; do same "$set: no capability" "$(status $set)" 0000000000000000; done
same "its system calls are filtered" "$(status Seccomp)" 2
same "it gains nothing by programs" "$(status NoNewPrivs)" 1
for kind in mnt net pid ipc uts; do
	check "namespace $kind: its own" [ "$(readlink "/proc/$pid/ns/$kind")" != "$(readlink "/proc/self/ns/$kind")" ]
done
same "no interface but a loopback that is down" "$(nsenter -t "$pid" -n ip -br link | awk '{ print $1, $2 }')" "lo DOWN"
same "nothing listens there" "$(nsenter -t "$pid" -n ss -Hltunp | wc -l)" 0
same "no process but itself" "$(for p in /proc/[0-9]*; do readlink "$p/ns/pid"; done | grep -cF "$(readlink "/proc/$pid/ns/pid")")" 1
for dir in home root var tmp srv proc sys boot opt media run/hc nix etc/ssh; do
	same "files: no /$dir" "$(ls -A "/proc/$pid/root/$dir" 2>/dev/null | wc -l)" 0
done
for file in etc/passwd etc/shadow etc/hosts dev/kvm dev/mem dev/vda dev/net/tun; do
	check "files: no /$file" [ ! -e "/proc/$pid/root/$file" ]
done
awk '{ print $5, $6 }' "/proc/$pid/mountinfo" >"$WORK/mounts"
while read -r at options; do
	check "mount $at: read-only, without devices and set-id bits" bash -c '[[ ,$1, == *,ro,* && ,$1, == *,nosuid,* ]]' _ "$options"
done <"$WORK/mounts"
: >"$WORK/fds"
for fd in "/proc/$pid/fd"/*; do
	to=$(readlink "$fd")
	case $to in
	/dev/null | anon_inode:* | socket:* | pipe:* | /dev/net/tun | /memfd:*) kind=harmless ;;
	/kernel | /initrd | /rootfs) kind=harmless ;;
	/var/lib/hc/machines/db/fork/*layer.raw | /var/lib/hc/volumes/db/*/image | */layer.raw | */image) kind=harmless ;;
	*) kind=unknown ;;
	esac
	same "descriptor ${fd##*/} is one that it was given, or made" "$kind $to" "harmless $to"
	echo "$to" >>"$WORK/fds"
done
same "its disks: the layer, and its two volumes" "$(grep -E '/(layer.raw|image)' "$WORK/fds" | sort -u | wc -l)" 3
same "one network" "$(grep -c /dev/net/tun "$WORK/fds")" 1
for each in $(grep -o 'socket:.*' "$WORK/fds" | tr -dc '0-9\n'); do
	check "socket $each is a pair with its supervisor, and of no network" bash -c '! cat /proc/'"$pid"'/net/{tcp,udp,tcp6,udp6,raw,packet} 2>/dev/null | grep -qw "$1"' _ "$each"
done
check "it is in the machine's control group" grep -q '/db$' "/proc/$pid/cgroup"
same "inside, the image cannot be written, whoever writes" "$(inside 'for d in /sys/class/block/vd*; do [ "$(cat $d/serial)" != root ] || dd if=/dev/zero of=/dev/${d##*/} count=1 conv=notrunc 2>/dev/null || echo no; done')" no
same "there are its disks, and no other" "$(inside 'for f in /sys/class/block/vd*/serial; do cat $f; echo; done | sort | xargs')" "layer root volume0 volume1"
same "no bus of the host's" "$(inside 'ls /sys/bus/pci/devices 2>/dev/null | wc -l; ls /dev/kvm /dev/vfio /dev/vhost-net 2>/dev/null | wc -l' | xargs)" "0 0"
same "no file system of the host's" "$(inside "grep -cE ' (9p|virtiofs|nfs|fuse)' /proc/mounts")" 0

# --- It starts again.
check "a restart" hc restart db
same "has what was written, and the room" "$(inside 'cat /var/www/file; stat -c "%U %s" /var/www/file /var/www/large' | xargs) $([ "$(room)" -gt $((small * 3)) ] && echo room)" \
	"three www-data 6 root 419430400 room"
hc stop db >/dev/null
check "the snapshot is brought back" hc volume restore db/data@first
check "start" hc start db
same "with what was written then, and whole" "$(inside 'cat /var/www/file; stat -c %s /var/www/big; ls /var/www' | xargs)" "one 20971520 big deep file"
hc destroy --yes --keep-store >/dev/null
umount /var/lib/hc
finish
