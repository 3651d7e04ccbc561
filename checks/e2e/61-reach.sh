# Allowances and published ports with real machines; who is asked says why.
. "$(dirname "$0")/../lib/test.sh"

describe() { # ALLOW PORTS
	cloud <<-NIX
		{ images, ... }:
		let
		  site = import ./site.nix images;
		  idle = networks: {
		    image = images.debian;
		    command = [ "/bin/sh" "-c" "trap 'exit 0' TERM; sleep infinity & wait" ];
		    inherit networks;
		  };
		in {
		  cloud.name = "test";
		  hosts.one = {
		    networks = { lan = { }; dmz = { }; };
		    allow = [ $1 ];
		    machines.asker = idle [ "lan" ];
		    machines.third = idle [ "lan" ];
		    machines.site = site [ "dmz" ] // {
		      ports = [ $2 ];
		    };
		  };
		}
	NIX
}
pids() { hc ps --json | jq -r '.[] | "\(.name) \(.pid)"' | sort; }
get() { hc exec "$1" -- curl -sS --max-time 3 "$2"; }
own() { curl -sS --max-time 3 "$1"; }
address() { hc ip --json "$1" | jq -r ".[0].$2"; }

ip link add up0 type veth peer name up1 # a link of the host's own
ip addr add 192.0.2.2/24 dev up0 && ip link set up0 up && ip link set up1 up

describe '"asker -> site:80"' '{ host = 8080; port = 80; }'
check "deploy" deploy
site=$(address site ipv6)
check "who may reaches the server" get asker "http://[$site]/"
says hello "and gets its page"
check "over IPv4 too" get asker "http://$(address site ipv4)/"
refuse 7 "" "who may not does not, and is told at once" get third "http://[$site]/"
check "the host reaches its port on loopback" own http://127.0.0.1:8080/
check "and under its own address" own http://192.0.2.2:8080/
check "another machine reaches the published port" get third http://192.0.2.2:8080/
refuse 7 "" "and no third port of the host" get third http://192.0.2.2:22/

check "a trace of what passes" hc net trace asker site:80
says 'passes: allowed: a machine to a machine' "names the rule"
says 'the connection was opened' "and what came back"
refuse 1 "networks are kept apart" "a trace of what does not" hc net trace third site:80
check "a trace in JSON" hc net trace --json -4 asker site:80
same "says it passes" "$(jq .passes "$WORK/out")" true
check "a trace within a network" hc net trace asker third:1
says 'nothing listens' "says that nothing listens"
refuse 1 "there is no machine 'nobody'" "of a machine that is not there" hc net trace nobody site:80
check "networks are listed" hc net ls
says '^lan +up +2 ' "with their machines"
check "a network is shown" hc net show dmz
says 'asker.lan -> site.dmz:80/tcp' "with its allowances"
says '\*:8080/tcp -> site:80' "and published ports"
same "addresses are those of the names" "$(address site.dmz.one.test ipv6)" "$site"
same "all machines have some" "$(hc ip --all --json | jq length)" 3

before=$(pids)
describe '"lan -> site:80" "third -> host:22"' ''
check "plan of other allowances" hc plan "path:$WORK/cloud"
says 'change +allowances' "says what changes"
silent 'restart|stop' "and stops nothing"
check "deploy of other allowances" deploy
same "touches no machine" "$(pids)" "$before"
check "now the other reaches it" get third "http://[$site]/"
refuse 7 "" "the port is not published any more" own http://127.0.0.1:8080/
check "rollback" hc rollback
refuse 7 "" "takes the allowance back" get third "http://[$site]/"
check "and brings the port" own http://127.0.0.1:8080/
same "touching no machine" "$(pids)" "$before"

hc stop site
refuse 7 "" "the port of a machine that is stopped refuses" own http://192.0.2.2:8080/
hc start site
check "and leads to it again" bash -c 'for i in $(seq 50); do curl -sS --max-time 1 http://192.0.2.2:8080/ && exit 0; sleep 0.1; done; exit 1'

nft flush ruleset
hc agent restart >/dev/null
check "an agent that starts puts back rules that somebody flushed" get asker "http://[$site]/"
refuse 7 "" "all of them" get third "http://[$site]/"

# A deploy that fails leaves the old rules.
describe '"lan -> site:80" "aksre -> site:80" "site > asker" "asker -> third:1"' \
	'{ host = 80; port = 80; } { host = 80; port = 81; listen = "192.0.2.2"; } { host = 81; port = 81; listen = "eth0"; }'
refuse 3 "'site > asker' is no allowance" "what is no allowance is told at evaluation" deploy
says "'eth0' is no address" "together with what else is wrong"
describe '"aksre -> site:80" "asker -> third:1"' \
	'{ host = 80; port = 80; } { host = 80; port = 81; listen = "192.0.2.2"; }'
refuse 3 "no machine and no network 'aksre'" "and what names nobody" deploy
says "both are on one network" "and what is allowed anyway"
says "port 80/tcp of the host is published for machine 'site' and for machine 'site'" "and ports that collide"
finish
