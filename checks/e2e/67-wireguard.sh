# Hosts that exchange their keys when they are deployed, and what happens to the link between them.
. "$(dirname "$0")/../lib/test.sh"
. "$(dirname "$0")/../lib/hosts.sh"

host east 1
host west 2
listen east west

describe() { # SSH-OF-west, ALIAS-OF-near
	cloud <<-NIX
		{ images, ... }:
		let
		  conf = ''
		    daemon off; user www-data; worker_processes 1; pid /run/nginx.pid; error_log stderr warn;
		    events { worker_connections 64; }
		    http { access_log off; server { listen 80; listen [::]:80; root /srv/www; } }
		  '';
		  site = network: {
		    image = images.debian;
		    command = [ "/usr/sbin/nginx" "-e" "stderr" "-c" "/etc/nginx/hc.conf" ];
		    files."/etc/nginx/hc.conf".text = conf;
		    files."/srv/www/index.html".text = "hello";
		    files."/srv/www/large".text = builtins.concatStringsSep "" (builtins.genList toString 60000);
		    ready = { when = "tcp"; port = 80; };
		    networks = [ network ];
		  };
		in {
		  cloud.name = "test";
		  overlay.mode = "wireguard";
		  hosts.east = {
		    address = "192.0.2.1";
		    networks = { lan = { }; back = { }; };
		    machines.near = site "lan" // { aliases = [ "$2" ]; };
		  };
		  hosts.west = {
		    address = "192.0.2.2";
		    ssh = "$1";
		    networks = { lan = { }; back = { }; };
		    machines.far = site "lan";
		    machines.hidden = site "back";
		  };
		}
	NIX
}
deploy_on() { hc_on "$1" deploy --host "$1" "path:$WORK/cloud"; }
get() { hc_on "$1" exec "$2" -- curl -sS --max-time "${4:-1}" "http://[$3]/"; }
# within SECONDS COMMAND…
within() {
	local until=$((SECONDS + $1 + 1))
	while [ $SECONDS -lt $until ]; do "${@:2}" && return; sleep 0.1; done
	return 1
}
address() { "$HC" ip --json "$1" | jq -r '.[0].ipv6'; }
near=$(address near.lan.east.test) far=$(address far.lan.west.test)
hidden=$(address hidden.back.west.test)

# Keys.
describe 192.0.2.2 www
check "deploy of one host" deploy_on east
silent "warning: (host|this host)" "asks the other one for its key"
check "deploy of the other" deploy_on west
silent "warning: (host|this host)" "which knows it already"
check "machines reach each other" within 5 get east near "$far"
key=$(hc_on west net key)
same "the one knows the other's key" "$(jq -r .hosts.west.publicKey /var/lib/hc/east/overlay.json)" "$key"
same "and both the same secret" "$(jq -r .hosts.west.presharedKey /var/lib/hc/east/overlay.json)" \
	"$(jq -r .hosts.east.presharedKey /var/lib/hc/west/overlay.json)"
same "root alone reads it" "$(stat -c %a /var/lib/hc/{east,west}/overlay.{json,key} | sort -u)" 600
refuse 1 "" "the store has neither" grep -rqE "$key|$(jq -r .hosts.west.presharedKey /var/lib/hc/east/overlay.json)" \
	/var/lib/hc/east/current/ /var/lib/hc/west/current/
refuse 1 "this is host 'west' of cloud 'test', not 'north'" "a host answers to its own name only" hc_on west net exchange \
	<<<'{"cloud":"test","from":"east","to":"north","keys":{"publicKey":"","presharedKey":""}}'
describe 192.0.2.2:2222 web
check "deploy while the other does not answer" deploy_on east
says "host 'west' cannot be asked for its key.*refused.*the last one it said is used" "says so"
check "and changes nothing" get east near "$far"
describe 192.0.2.2 web
rm /var/lib/hc/west/overlay.*
hc_on west agent restart >/dev/null
refuse 28 "" "a host that lost its key is not reached" get east near "$far"
check "deploy of it" deploy_on west
says "warning: host 'east' has another key for host 'west' now" "says that it has another one"
check "and it is reached" within 5 get east near "$far"
sed -i 's|ssh = "192.0.2.2";|& publicKey = "'"$key"'";|' "$WORK/cloud/cloud.nix"
check "deploy with a key in the flake, which is that of before" deploy_on east
refuse 28 "" "takes no other" get east near "$far"
describe 192.0.2.2 web
check "deploy without it" deploy_on east
check "takes what was said again" within 5 get east near "$far"

# Faults: services come back within five seconds of the end of the cause, and no packet of one
# network is on another meanwhile.
prefix=${near%:*:*:*:*}::/64 other=${far%:*:*:*:*}::/64
lan=$(hc_on west net show lan --json | jq -r .bridge) back=$(hc_on west net show back --json | jq -r .bridge)
on west "$top/checks/lib/ear" "$back" "$prefix" "$WORK/leaked" & ears=$!
on west "$top/checks/lib/ear" "$back" "$other" "$WORK/leaked2" & ears="$ears $!"
on west "$top/checks/lib/ear" "$lan" "$prefix" "$WORK/heard" & ears="$ears $!"
while [ ! -s "$WORK/heard" ]; do sleep 0.05; done
check "between faults" get east near "$far"
refuse 7 "" "networks are kept apart" get east near "$hidden"

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
refuse 7 "" "and networks are kept apart" get east near "$hidden"
on west nft flush table inet hc
check "so are rules of one table" within 2 sh -c "nsenter --net --target ${pids[west]} nft list table inet hc | grep -q 'networks are kept apart'"
on west ip link del "$lan"
check "a bridge that somebody deleted is back, and machines on it" within 5 get east near "$far"
on west ip link del "$(hc_on west ip --json far | jq -r '.[0].link')"
check "so is the link of a machine" within 5 get east near "$far"
on west ip link del hco0
check "and that to other hosts" within 5 get east near "$far"
check "the host asks for names as before" within 5 on west getent ahostsv6 near.lan.east.test.internal

kill $ears
same "nothing of one network was on another" "$(cat "$WORK/leaked") $(cat "$WORK/leaked2")" "0 0"
check "where it belongs it was heard" test "$(cat "$WORK/heard")" -gt 20

sed -i 's/hosts.west = /hosts.east = { address = "192.0.2.3"; }; &/' "$WORK/cloud/cloud.nix"
refuse 3 "already defined" "a host's name cannot be there twice" deploy_on east
for name in east west; do
	check "$name is destroyed" hc_on $name destroy --yes --keep-store
	same "nothing is left of its network" "$(on $name ip -o link | grep -c ': hc')" 0
	same "nor of its rules" "$(on $name nft list ruleset | wc -l)" 0
done
finish
