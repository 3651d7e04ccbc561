# Two hosts of one cloud, each with its own agent, network, resolver and state, on one wire.
. "$(dirname "$0")/../lib/test.sh"

. "$(dirname "$0")/../lib/hosts.sh"
ask() { hc_on "$1" exec "$2" -- getent ahostsv6 "$3"; }
get() { hc_on "$1" exec "$2" -- curl -sS --max-time 5 "$3"; }

host east 1
host west 2

describe() { # FIELDS-OF-far
	cloud <<-NIX
		{ images, ... }:
		let
		  site = import ./site.nix images;
		in {
		  cloud.name = "test";
		  overlay.mode = "plain";
		  hosts.east = {
		    address = "192.0.2.1";
		    networks = { lan = { }; back = { }; };
		    machines.near = site [ "lan" ] // {
		      aliases = [ "www" ];
		      services.http.port = 80;
		    };
		    machines.quiet = site [ "back" ];
		  };
		  hosts.west = {
		    address = "192.0.2.2";
		    networks = { lan = { }; back = { }; };
		    machines.far = site [ "lan" ] // { $1 };
		    machines.hidden = site [ "back" ];
		  };
		}
	NIX
}
describe ''
check "deploy of one host" hc_on east deploy --host east "path:$WORK/cloud"
check "deploy of the other" hc_on west deploy --host west "path:$WORK/cloud"

check "a machine finds one of another host by name" ask east near far.lan.west.test.internal
check "and reaches it" get east near http://far.lan.west.test.internal/
says hello "in full"
check "and the other way round" get west far http://near.lan.east.test.internal/
check "an alias is found from there" get west far http://www.lan.east.test.internal/
refuse 2 "" "a name in another network is not" ask east near hidden.back.west.test.internal
address=$(hc ip --json hidden.back.west.test | jq -r '.[0].ipv6')
refuse 7 "" "nor is that network reached" get east near "http://[$address]/"
check "machines of that network do" get east quiet http://hidden.back.west.test.internal/
check "the host finds machines of the other" on east getent ahostsv6 far.lan.west.test.internal
check "and reaches them" on east curl -sS --max-time 5 http://far.lan.west.test.internal/
same "a service is found by name" \
	"$(on east dig +short SRV _http._tcp.lan.east.test.internal)" "0 0 80 near.lan.east.test.internal."
same "from the other host too" \
	"$(on west dig +short SRV _http._tcp.lan.east.test.internal)" "0 0 80 near.lan.east.test.internal."
back=$(hc ip --json far.lan.west.test | jq -r '.[0].ipv6')
same "and an address leads back" "$(on east dig +short -x "$back")" far.lan.west.test.internal.
check "a trace to another host" hc_on east net trace near "[$back]:80"
says 'a network of that name on another host' "names the rule"

# Faults: what was broken comes back by itself.
again() { for _ in $(seq 50); do get east near http://far.lan.west.test.internal/ && return; sleep 0.1; done; return 1; }
ip link set to-west down
refuse 28 "" "a cut link cuts" on east curl -sS --max-time 1 "http://[$back]/"
ip link set to-west up
check "and is back within five seconds" again
kill -9 "$(hc_on west agent status --json | jq .pid)"
check "machines are reached without an agent" get east near "http://[$back]/"
check "the next command brings it back" hc_on west ps
check "and names with it" again
hc_on west stop far >/dev/null
refuse 7 "" "a machine that stopped is refused at once" get east near "http://[$back]/"
hc_on west start far >/dev/null
check "and is there again" again

# Another host of the same name, which is not where the others look for it.
host double 3
other_machines
check "deploy of another host of the same name" hc_on double deploy --host west "path:$WORK/double"
says "warning: this host has not the address 192\.0\.2\.2 at which others hear host 'west'" "says so"
says "deploy this one under a name of its own" "and what to do"
refuse 28 "" "it is not heard" hc_on double exec other -- curl -sS --max-time 1 "http://[$(hc ip --json near.lan.east.test | jq -r '.[0].ipv6')]/"
check "and the good one is" get east near "http://[$back]/"
check "it is destroyed" hc_on double destroy --yes --keep-store
kill "${pids[double]}"

# The same over a wire that is not trusted.
machines=$(hc_on east ps --json | jq -c 'map([.name, .pid])')
sed -i 's|overlay.mode = "plain"|overlay.mode = "wireguard"|' "$WORK/cloud/cloud.nix"
check "deploy of one host with WireGuard" hc_on east deploy --host east "path:$WORK/cloud"
says "warning: host 'west' cannot be asked for its key.*machines do not reach it" "says that nobody answers"
listen east west
check "and of the other, which now can be asked" hc_on west deploy --host west "path:$WORK/cloud"
silent "warning: (host|this host)" "says nothing about keys"
check "machines reach each other" again
# hc net ls says how it stood a second ago.
heard() {
	hc_on east net ls --json | jq -e '.overlay.hosts[] | select(.name == "west" and .received > 0
		and .handshakeSec != null and .handshakeSec < 300)' >/dev/null
}
check "the other host was heard" within 5 heard
check "the other host is listed" hc_on east net ls
says 'WireGuard' "with what carries the overlay"
says '^west +192\.0\.2\.2 +[0-9]+ (s|min) ago +[0-9.]+ [KM]?i?B +[0-9.]+ [KM]?i?B' "when it was heard and how much"
same "and are the same processes" "$(hc_on east ps --json | jq -c 'map([.name, .pid])')" "$machines"
refuse 7 "" "networks are kept apart" get east near "http://[$address]/"
kill -9 "$(hc_on west agent status --json | jq .pid)"
check "an agent that was killed comes back" hc_on west ps
check "and the tunnel with it" again

# A cloud without the other host.
sed -i 's/overlay.mode = "wireguard";//' "$WORK/cloud/cloud.nix"
check "deploy without an overlay" hc_on east deploy --host east "path:$WORK/cloud"
refuse 7 "" "the other host is not reached any more" get east near "http://[$back]/"
same "and its link is gone" "$(on east ip -o link | grep -c hco)" 0
check "the host's resolver asks hc" on east grep -q 127.0.0.153 /etc/resolv.conf
for name in east west; do
	check "$name is destroyed" hc_on $name destroy --yes --keep-store
	same "nothing is left of its network" "$(on $name ip -o link | grep -c ': hc')" 0
	same "nor of its rules" "$(on $name nft list ruleset | wc -l)" 0
	same "and its resolver is as it was" "$(cat /run/resolv-$name)" "nameserver 192.0.2.99"
	kill "${pids[$name]}"
done
finish
