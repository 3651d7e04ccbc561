# Machines exposed on a wire of the host: computers there like any other. Virtual ones: 47-microvm-inside.
. "$(dirname "$0")/../lib/test.sh"
. "$(dirname "$0")/../lib/wire.sh"

wire # a link of the host's, wire0, and a computer at its other end
describe() { # MACHINE'S LAN
	cloud <<-NIX
		{ images, ... }:
		let
		  site = import ./site.nix images;
		in {
		  cloud.name = "test";
		  hosts.one = {
		    networks = { lan = { }; yard = { lan = "wire0"; }; };
		    machines.web = site [ "lan" ] // { $1 };
		    machines.tree = site [ "yard" ];
		    machines.plain = site [ "lan" ];
		  };
		}
	NIX
}
get() { far curl -sS --max-time 3 "http://$1/"; }

describe 'lan.wire0 = { addresses = [ "192.0.2.7/24" "2001:db8::7/64" ]; gateways = [ "192.0.2.9" ]; };'
check "deploy" deploy
check "a machine on the wire is reached there" get 192.0.2.7
says hello "and answers"
check "over IPv6 as well" get '[2001:db8::7]'
mac=$(hc ip web --json | jq -r '.[] | select(.lan == "wire0").mac')
same "under the MAC that follows from its name" "$(far ip neigh show 192.0.2.7 | grep -o 'lladdr [^ ]*')" "lladdr $mac"
check "that is explained" hc ip web --explain
says 'BLAKE3\("test/one/link:wire0/web"\)' "with what is hashed"
check "it reaches the rest over the router there" hc exec web -- curl -sS --max-time 3 http://203.0.113.1/
check "and machines of its network over the host" hc exec web -- curl -sS --max-time 3 "http://$(hc ip plain --json | jq -r '.[0].ipv4')/"
refuse 7 "" "who is not on the wire is not reached there" get "$(hc ip plain --json | jq -r '.[0].ipv4')"
same "links are in the order of their names" "$(hc exec tree -- ls /sys/class/net | xargs)" "eth0 lan0 lo"
tree=$(hc exec tree -- ip -6 -o addr show dev lan0 scope link | grep -o 'fe80[^/]*')
check "the machines of an exposed network are there too" within 5 far curl -sS --max-time 2 -g "http://[$tree%25far0]/"

check "started again it is there at once" hc restart web
check "under its address" get 192.0.2.7
describe 'lan.wire0 = { addresses = [ "192.0.2.8/24" ]; };'
check "another address" deploy
same "restarts that machine" "$(grep -E '^(restart|stop|start) ' "$WORK/out" | xargs)" "restart web"
check "is used" get 192.0.2.8
check "and the old one no longer" bash -c "! nsenter --net --target $far curl -sS --max-time 3 http://192.0.2.7/"
check "rollback" hc rollback
check "brings it back" get 192.0.2.7

# The host's link goes, and another one comes under its name.
ip link del wire0
wire
check "machines are on a link that came back" within 5 get 192.0.2.7
check "of an exposed network, too" within 5 hc exec tree -- ip link show lan0

# Bad descriptions.
describe 'lan.wire0.addresses = [ "192.0.2.7" ];'
refuse 3 "'192.0.2.7' is no address with the length of its prefix" "an address without its prefix is told" deploy
describe 'lan."not a link" = { };'
refuse 3 "machine 'web': lan: 'not a link' cannot be the name of a link" "and what is no link's name" deploy
describe 'lan.wire0 = { gateways = [ "198.51.100.1" ]; };'
refuse 3 "the router 198.51.100.1 is in none of the machine's prefixes" "and a router nobody reaches" deploy
describe 'lan.wire7 = { };'
refuse 6 "the host has no link 'wire7'" "a link that is not there is told when it starts" deploy
check "and the machine that was there is there again" get 192.0.2.7

check "stop" hc stop web tree plain
same "nothing is left on the host" "$(ip -o link show type macvlan)" ""

# A host without networks, whose machines are on its wires alone.
cloud <<-'NIX'
	{ images, ... }:
	let
	  site = import ./site.nix images;
	in {
	  cloud.name = "test";
	  hosts.one.machines.web = site [ ] // { lan.wire0.addresses = [ "192.0.2.7/24" ]; };
	}
NIX
check "deploy of a host without networks" deploy
check "its machine is reached on the wire" get 192.0.2.7
nft flush ruleset
check "rules that somebody flushed are back" within 5 nft list table inet hc
ip link del wire0
refuse 7 "" "without the wire there is nothing" bash -c '! "$HC" exec web -- ip link show lan0 || exit 0; exit 7'
check "what it is cut off from is told" hc status web
says '^ +cut off +from wire0' "by name"
wire
check "and it is on a link that came back" within 5 get 192.0.2.7
check "which is told as well" hc status web
silent 'cut off' "by nothing"
check "destroy" hc destroy --yes --keep-store
sleep 0.6 # for as long as the agent looks at what is gone
same "leaves no rules" "$(nft list ruleset | wc -l)" 0
finish
