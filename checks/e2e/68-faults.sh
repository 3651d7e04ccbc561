# What happens to the link between two hosts, and what others take away of the network of one.
. "$(dirname "$0")/../lib/test.sh"
. "$(dirname "$0")/../lib/hosts.sh"

host east 1
host west 2
listen east west
near=$(address_of near.lan.east.test) far=$(address_of far.lan.west.test)
hidden=$(address_of hidden.back.west.test)
two_hosts 192.0.2.2 www
check "deploy of one host" deploy_on east
check "and of the other" deploy_on west
check "machines reach each other" within 5 get east near "$far"

# Faults: services come back within five seconds of the end of the cause, and no packet of one
# network is on another meanwhile.
prefix=${near%:*:*:*:*}::/64 other=${far%:*:*:*:*}::/64
lan=$(hc_on west net show lan --json | jq -r .bridge) back=$(hc_on west net show back --json | jq -r .bridge)
on west "$top/checks/lib/ear" "$back" "$prefix" "$WORK/leaked" & ears=$!
on west "$top/checks/lib/ear" "$back" "$other" "$WORK/leaked2" & ears="$ears $!"
on west "$top/checks/lib/ear" "$lan" "$prefix" "$WORK/heard" & ears="$ears $!"
while [ ! -s "$WORK/heard" ]; do sleep 0.05; done
check "between faults" get east near "$far"
refuse 7 "" "networks are kept apart" get east near "$hidden" 3

ip link set to-west down
refuse 28 "" "a cut wire cuts" get east near "$far"
ip link set to-west up
check "and is back" within 5 get east near "$far"

on west sh -c 'ip addr del 192.0.2.2/24 dev up0; ip addr add 192.0.2.22/24 dev up0'
check "a host that moves is followed" within 5 get east near "$far"
on west sh -c 'ip addr del 192.0.2.22/24 dev up0; ip addr add 192.0.2.2/24 dev up0'
check "and back" within 5 get east near "$far"

kill -9 "$(hc_on west agent status --json | jq .pid)"
refuse 28 "" "without its agent a host is not reached" get east near "$far"
hc_on west ps >/dev/null
check "and with the next one it is" within 5 get east near "$far"

hc_on west agent stop
on west env FAKETIME=-1d LD_PRELOAD="$(dpkg -L libfaketime | grep libfaketime.so.1)" "$HC" --state-dir /var/lib/hc/west --run-dir /run/hc-west agent start
check "a host whose clock went back a day is back" within 5 get east near "$far"
hc_on west agent restart
check "and when it is right again" within 5 get east near "$far"

# Larger packets are swallowed on the way, and nobody is told.
ip link set to-west mtu 1400
check "a page larger than the wire takes" hc_on east exec near -- curl -sS --max-time 10 -o /dev/null "http://[$far]/large"
check "the other way round" hc_on west exec far -- curl -sS --max-time 10 -o /dev/null "http://[$near]/large"
ip link set to-west mtu 1500

# What others take away.
on west nft flush ruleset
check "rules that somebody flushed are back at once" within 2 on west nft list table bridge hc
check "machines are reached" within 5 get east near "$far"
refuse 7 "" "and networks are kept apart" get east near "$hidden" 3
on west nft flush table inet hc
check "so are rules of one table" within 2 sh -c "nsenter --net --target ${pids[west]} nft list table inet hc | grep -q 'networks are kept apart'"
on west ip link del "$lan"
check "a bridge that somebody deleted is back, and machines on it" within 5 get east near "$far"
on west ip link del "$(hc_on west ip --json far | jq -r '.[0].link')"
check "so is the link of a machine" within 5 get east near "$far"
on west ip link del hco0
check "and that to other hosts" within 5 get east near "$far"
check "the host asks for names as before" within 5 on west getent ahostsv6 near.lan.east.test.internal

# Another host deploys the description of west, and is not it.
host double 3
other_machines
on double "$top/checks/lib/ear" hco0 "$prefix" "$WORK/leaked3" & ears="$ears $!"
ask() { while [ ! -e "$WORK/deployed" ]; do get east near "$far" 3 >/dev/null || echo lost; done; }
ask >"$WORK/lost" 2>&1 & asks=$!
check "deploy of another host of the same name" hc_on double deploy --host west "path:$WORK/double"
touch "$WORK/deployed"
says "warning: host 'east' hears another host 'west' at 192\.0\.2\.2: two hosts have that name" "says so, and where"
says "Deploy it under a name of its own" "and what to do"
wait $asks
same "the good one is reached throughout" "$(cat "$WORK/lost")" ""
same "and not a packet came to the other one" "$(cat "$WORK/leaked3")" 0
refuse 28 "" "which does not reach anybody either" hc_on double exec other -- curl -sS --max-time 1 "http://[$near]/"
check "east knows the good one" hc_on east net ls
says '^west +192\.0\.2\.2 ' "where it is"
check "deploy of the good one" deploy_on west
silent "warning: (host|this host)" "as before"
check "the other one is destroyed" hc_on double destroy --yes --keep-store

# What has been ready for a while may be kept for longer.
kept() { [ "$(on east dig +noall +answer @127.0.0.153 "$1.lan.east.test.internal" AAAA | awk '{ print $2 }')" = "$2" ]; }
check "an address of a machine that has long been ready" within 35 kept near 5
hc_on east restart near >/dev/null
check "and of one that was started again" kept near 1

kill $ears
same "nothing of one network was on another" "$(cat "$WORK/leaked") $(cat "$WORK/leaked2")" "0 0"
check "where it belongs it was heard" test "$(cat "$WORK/heard")" -gt 20

for name in east west; do
	check "$name is destroyed" hc_on $name destroy --yes --keep-store
	same "nothing is left of its network" "$(on $name ip -o link | grep -c ': hc')" 0
	same "nor of its rules" "$(on $name nft list ruleset | wc -l)" 0
done
finish
