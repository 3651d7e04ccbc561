# Whether machines are ready, whether they still work, and how often they are started again.
. "$(dirname "$0")/../lib/test.sh"

cloud <<-'NIX'
	{ images, lib, ... }:
	let
	  sh = script: { image = images.debian; command = [ "/bin/sh" "-c" script ]; stop.timeoutSec = 2; };
	  idle = sh "trap 'exit 0' TERM; touch /tmp/up; while :; do sleep 0.1; done";
	  nginx = {
	    image = images.debian;
	    command = [ "/usr/sbin/nginx" "-e" "stderr" "-c" "/etc/site.conf" ];
	    files."/etc/site.conf".text = ''
	      daemon off; user www-data; worker_processes 1; pid /run/nginx.pid; error_log stderr warn;
	      events { worker_connections 64; }
	      http {
	        access_log off;
	        server { listen 80; listen [::1]:80; root /srv;
	          location = /slow { limit_rate 1; return 302 /; }
	        }
	      }
	    '';
	  };
	in {
	  cloud.name = "test";
	  hosts.one.machines = {
	    command = idle // {
	      user = "www-data";
	      ready.when = "command"; ready.command = [ "test" "-e" "/tmp/up" ];
	      health = { command = [ "sh" "-c" "test $(id -un) = www-data && test ! -e /tmp/ill" ]; intervalSec = 1; failures = 2; };
	    };
	    http = nginx // {
	      files = nginx.files // { "/srv/up".text = "yes"; };
	      ready.when = "http"; ready.port = 80; ready.path = "/up";
	      health = { port = 80; path = "/up"; intervalSec = 1; failures = 2; };
	    };
	    tcp = nginx // { health = { port = 80; intervalSec = 1; failures = 1; }; };
	    hangs = idle // {
	      health = { command = [ "sh" "-c" "test ! -e /tmp/ill || sleep 60" ]; intervalSec = 1; timeoutSec = 1; failures = 1; };
	    };
	    crashes = sh "[ ! -e /tmp/ill ] || exit 3; trap 'exit 0' TERM; while :; do [ ! -e /tmp/ill ] || exit 3; sleep 0.05; done" // {
	      restart = { delayMs = 10; maxDelayMs = 20; maxRestarts = 3; };
	    };
	  };
	}
NIX
check "deploy waits for answers" deploy
same "all are ready" "$(hc ps --json | jq '[.[] | select(.ready)] | length')" 5
sleep 3
same "and stay so" "$(hc ps --json | jq '[.[] | select(.ready)] | length') $(hc ps --json | jq '[.[].restarts] | add')" "5 0"
waits() { # WHAT NAME JQ-CONDITION-ON-ITS-ROW
	check "$1" bash -c 'for i in $(seq 120); do "$HC" ps --json | jq -e --arg n "$1" "[.[] | select(.name == \$n) | select($2)] | length > 0" | grep -qx true && exit 0; sleep 0.1; done; "$HC" ps; exit 1' _ "$2" "$3"
}
hc exec command -- touch /tmp/ill
check "one bad answer is told" bash -c 'for i in $(seq 40); do "$HC" status command | grep -q "unwell .*exit status 1 (1 of 2)" && exit; sleep 0.05; done; exit 1'
waits "two end it, and it is started again" command '.restarts == 1 and (.exit.unhealthy | test("exit status 1"))'
check "ps" hc ps
says 'command .*unhealthy: sh -c test.*exit status 1' "says why"
check "so does the log" bash -c '"$HC" logs command | grep -q "it does not work: .*(2 of 2)"'
hc exec command -- rm /tmp/ill
waits "it is ready again" command '.ready'

hc exec http -- sh -c 'mv /srv/up /srv/away; sleep 1.2; mv /srv/away /srv/up'
sleep 2
same "one bad answer of two is forgiven" "$(machine http restarts)" 0
hc exec http -- rm /srv/up
waits "an HTTP status of 404 ends it" http '.restarts == 1 and (.exit.unhealthy | test("http://localhost:80/up: status 404"))'
waits "its files are laid anew, and it is well" http '.ready'
hc exec tcp -- pkill -STOP nginx >/dev/null 2>&1 || hc exec tcp -- sh -c 'kill -STOP $(cat /run/nginx.pid)'
same "a server that is stopped still has its port" "$(sleep 2; machine tcp restarts)" 0
hc exec tcp -- sh -c 'kill -CONT $(cat /run/nginx.pid); sed -i "s/listen 80; listen \[::1\]:80/listen 81/" /etc/site.conf; kill -HUP $(cat /run/nginx.pid)'
waits "a port that is closed ends it" tcp '.restarts >= 1 and (.exit.unhealthy | test("port 80: .*refused"))'
hc exec hangs -- touch /tmp/ill
waits "no answer is a bad one" hangs '.restarts >= 1 and (.exit.unhealthy | test("no answer within 1 s"))'

hc exec crashes -- touch /tmp/ill
waits "a machine that ends again and again is left alone" crashes '.phase == "failed" and .restarts == 3 and .exit.code == 3'
check "a new agent" hc agent restart
waits "leaves it alone, too, and knows how often it was started" crashes '.phase == "failed" and .restarts == 3 and .exit.code == 3'
hc stop crashes >/dev/null
hc cp "$WORK/cloud/cloud.nix" crashes:/tmp/x >/dev/null 2>&1 # is not running
check "start tries again" hc start crashes
waits "as often as before" crashes '.phase == "failed" and .restarts == 6 and .exit.code == 3'
# It is asked as long as it runs.
hc stop hangs >/dev/null
same "no process that asked is left" "$(pgrep -fc 'sleep 60')" 0
finish
