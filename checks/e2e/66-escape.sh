# What a machine could get out by: tried from inside, and on the host to see that the attempts mean
# something. Then what a machine can do to its neighbours: nothing.
. "$(dirname "$0")/../lib/test.sh"

cloud <<-'NIX'
	{ images, lib, ... }:
	let
	  idle = { image = images.debian; command = [ "/bin/sleep" "infinity" ]; stop.signal = "KILL"; };
	  bad = idle // { limits = { memory = "64M"; pids = 100; cpus = 0.5; rootSize = "64M"; }; tmpfs."/fill".size = "16M"; volumes.data = { path = "/data"; size = "300M"; }; };
	in {
	  cloud.name = "test";
	  hosts.one.networks.lan = { };
	  hosts.one.machines = {
	    tries = idle;
	    logs = idle // {
	      command = [ "/bin/sh" "-c" "while [ ! -x /hc ]; do sleep 0.1; done; exec /hc guest escape" ];
	      restart.policy = "never";
	    };
	    bomb = bad;
	    neighbour = idle // {
	      health = { command = [ "sh" "-c" "ls / >/dev/null && echo x >/tmp/x" ]; intervalSec = 1; timeoutSec = 5; failures = 1; };
	    };
	  };
	}
NIX
check "deploy" deploy
# The hc of images is the first that made them; this one has the attempts.
check "what tries is copied in" bash -c '"$HC" cp "$HC" tries:/hc && "$HC" cp "$HC" logs:/hc'

hc exec tries -- /hc guest escape >"$WORK/tried" 2>&1
code=$?
same "from a command in the machine, every way is closed" "$code $(grep -c '^not ok' "$WORK/tried")" "0 0"
grep '^not ok' "$WORK/tried" | sed 's/^/     | /'
check "there are more than 60" [ "$(grep -c '^ok' "$WORK/tried")" -ge 60 ]
for _ in $(seq 50); do [ "$(machine logs phase)" = exited ] && break; sleep 0.1; done
same "from the machine's own command, too" "$(machine logs exit.code) $(hc logs -n 500 logs | grep -c '^not ok')" "0 0"
hc logs -n 500 logs | grep '^not ok' | sed 's/^/     | /'
check "in JSON" bash -c '"$HC" exec tries -- /hc guest escape --json | jq -e "all(.ok)"'
same "also from a throw-away one" "$(hc run tries -- sh -c 'cat >/hc; chmod +x /hc; /hc guest escape </dev/null' <"$HC" | grep -c '^not ok')" 0
same "and on a terminal" "$(script -qec "$HC exec -t tries -- /hc guest escape" /dev/null | grep -c '^not ok')" 0
# The same program where nothing confines it: each assertion that can has to fail.
"$HC" guest escape --control 9</dev/null >"$WORK/tried" 2>&1
code=$?
same "on a host they fail, each of them" "$code $(grep -c '^not ok' "$WORK/tried")" "0 0"
grep '^not ok' "$WORK/tried" | sed 's/^/     | /'
check "more than 60 of them" [ "$(grep -c '^ok.*# on a host' "$WORK/tried")" -ge 60 ]
refuse 1 "does not exist in the image|cannot be found" "exec of what the kernel links to" hc exec tries -- /proc/self/exe guest env HOME

# Neighbours.
before=$(machine neighbour pid)
hc exec bomb -- sh -c 'f() { f | f & }; f' >/dev/null 2>&1 &
sleep 1
check "a fork bomb stays in its limit" [ "$(hc status bomb --json | jq .usage.pids)" -le 101 ]
check "the neighbour answers" hc exec neighbour -- true
check "so does the agent" hc ps
hc restart bomb >/dev/null
for _ in 1 2 3; do hc exec bomb -- tail /dev/zero >/dev/null 2>&1 & done
check "with memory hogs beside it" hc exec neighbour -- ls /
hc exec bomb -- sh -c 'head -c 64M /dev/zero >/fill/x; head -c 1G /dev/zero >/data/x; head -c 1G /dev/zero >/x' >"$WORK/out" 2>&1
same "what has a size can be filled, and is full: memory, a volume, its root" "$(grep -c "No space left" "$WORK/out")" 3
check "with disks filled beside it" hc exec neighbour -- sh -c 'head -c 1M /dev/zero >/tmp/y'
hc exec bomb -- sh -c 'for i in 1 2 3 4; do (while :; do :; done) & done; sleep 3; kill %1 %2 %3 %4' >/dev/null 2>&1 &
sleep 3
check "with busy loops beside it" hc exec neighbour -- true
same "the neighbour was well all the time" "$(machine neighbour pid) $(machine neighbour restarts)" "$before 0"
wait
check "a machine of a bomb stops" hc stop bomb
finish
