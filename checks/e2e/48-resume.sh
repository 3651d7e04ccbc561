# MicroVMs that start from a saved machine: saved once, used by every one built alike, and each itself. It collects, hence:
# own store
. "$(dirname "$0")/../lib/test.sh"

: "${KERNEL_DEB:?a package of a Debian kernel}"
hc() { timeout 200 "$HC" "$@"; }
mkdir -p "$WORK/cloud" && cp "$KERNEL_DEB" "$WORK/cloud/kernel.deb"
# describe NAMES: the cloud with these virtual machines.
describe() {
	cloud <<-NIX
		{ images, lib, ... }: {
		  cloud.name = "test";
		  hosts.here.networks.lan = { };
		  hosts.here.machines = lib.genAttrs [ $(printf '"%s" ' $1) ] (name: {
		    kind = "microvm";
		    image = images.debian;
		    vm = { kernel = images.kernel { src = ./kernel.deb; }; layerSize = "1G"; resume = true; };
		    command = [ "/bin/bash" "-c" "echo begun; exec sleep 100000" ];
		    volumes.data = { path = "/srv"; size = "300M"; };
		    ready.timeoutSec = 150;
		  });
		}
	NIX
}
saved=/var/lib/hc/saved
id() { hc exec "$1" -- cat /etc/machine-id; }
booted() { hc exec "$1" -- awk '{ printf "%d", $1 * 100 }' /proc/uptime; }
describe r-one
check "the first is deployed" deploy
check "and a machine like it was saved before that" test -e $saved/*-mounted/saved.json
hc logs r-one >"$WORK/out"
silent "cold" "so that its first start was none of a cold machine"
same "where its time went is known" "$(hc status r-one --json | jq -r '[.timing[].step] | map(select(. != "lock" and . != "cgroup")) | sort | join(" ")')" \
	"accelerator exec execute fork guest identity memory network qemu read ready"
same "waiting for its disk, and with one mounted" "$(find $saved -name saved.json | wc -l)" 2
same "its memory is in no file that has a name" "$(ls /run/hc/machines/r-one/ram 2>/dev/null)" ""
first=$(id r-one)
made=$(stat -c %Y.%i $saved/*/ram)
hc exec r-one -- sh -c 'echo kept >/root/kept; echo kept >/srv/kept; sync'
check "it is started again" hc restart r-one
hc logs r-one >"$WORK/out"
silent "cold" "not cold"
same "the same machine" "$(id r-one)" "$first"
same "with its disk and its volume" "$(hc exec r-one -- cat /root/kept /srv/kept | xargs)" "kept kept"
now=$(date +%s)
then=$(hc exec r-one -- date +%s)
check "and the right time" test "$((then - now))" -ge 0 -a "$((then - $(date +%s)))" -le 0
describe "r-one r-two r-three"
check "others that are alike start from what it was" deploy
same "which are still those" "$(stat -c %Y.%i $saved/*/ram)" "$made"
hc logs r-two >"$WORK/out"
silent "cold" "without a cold boot"
same "each has its name" "$(hc exec r-two -- hostname) $(hc exec r-three -- hostname)" "r-two r-three"
same "and its identity" "$(printf '%s\n' "$first" "$(id r-two)" "$(id r-three)" | sort -u | wc -l)" 3
same "and address" "$(hc exec r-two -- getent ahostsv6 r-three | awk 'NR == 1 { print $1 }')" "$(machine r-three 'addresses[0]')"
same "no two have the same random numbers" "$(for m in r-one r-two r-three; do hc exec $m -- sh -c 'head -c 16 /dev/urandom | od -An -x'; done | sort -u | wc -l)" 3
same "none has another's files" "$(hc exec r-two -- sh -c 'ls /root/kept /srv/kept 2>/dev/null | wc -l')" 0
same "they share the memory of the saved one" "$(pgrep qemu-system | while read -r pid; do grep -c '/ram$' "/proc/$pid/maps" | grep -vx 0; done | wc -l)" 3
mapped() { pgrep qemu-system | while read -r pid; do awk -v i="$1" '$5 == i && $6 ~ /ram$/ { print i; exit }' "/proc/$pid/maps"; done | wc -l; }
same "the new ones that which has its root mounted" "$(mapped "$(stat -c %i $saved/*-mounted/ram)")" 2
same "on a layer without errors" "$(hc exec r-two -- dmesg | awk '/EXT4-fs/ { n++; if (/error|warn|recover/) bad++ } END { print (n > 0), bad + 0 }')" "1 0"
# What does not fit is not used.
for state in $saved/*/state; do printf x >>"$state"; done
check "with a saved one that is damaged it starts all the same" hc restart r-two
check "cold, which is told" bash -c '"$HC" status r-two | grep -q "began cold.*damaged"'
same "and saves itself anew" "$(for _ in $(seq 100); do [ "$(stat -c %Y.%i $saved/*/ram)" != "$made" ] && [ "$(find $saved -name saved.json | wc -l)" = 2 ] && echo yes && break; sleep 0.2; done)" yes
check "a collection keeps what is used" hc gc
same "as it is" "$(find $saved -name saved.json | wc -l)" 2
check "everything is taken away" hc destroy --yes --keep-store
same "the saved one too" "$(find /var/lib/hc -mindepth 1 | wc -l)" 0
finish
