# What is known of a machine: how it ended, what it uses, where the time of its start went.
. "$(dirname "$0")/../lib/test.sh"

cloud <<-'NIX'
	{ images, lib, ... }:
	let
	  # Does what its file says when somebody writes one.
	  waits = {
	    image = images.debian;
	    command = [ "/bin/sh" "-c" "while [ ! -e /go ]; do sleep 0.1; done; . /go" ];
	    restart.policy = "never";
	    limits.memory = "64M";
	    limits.pids = 50;
	  };
	in {
	  cloud.name = "test";
	  hosts.one.networks.lan = { };
	  hosts.one.machines = {
	    fine = waits // { networks = [ "lan" ]; limits = waits.limits // { cpus = 0.5; }; };
	    code = waits;
	    signal = waits;
	    hog = waits;
	    small = waits // { limits = waits.limits // { rootSize = "40M"; }; };
	    stubborn = waits // { command = [ "/bin/sh" "-c" "trap '' TERM; while :; do sleep 1; done" ]; stop.timeoutSec = 1; };
	  };
	}
NIX
check "deploy" deploy
status() { hc status "$1" --json | jq -r "$2"; }
over() { # NAME: waits until it has ended
	for _ in $(seq 100); do
		case $(status "$1" .phase) in exited | failed) return ;; esac
		sleep 0.1
	done
	return 1
}

check "status" hc status fine
says '^fine: ready for [0-9]+ s \(since 20' "says since when"
says 'memory +[0-9.]+ .iB of 64.0 MiB' "says what it uses, and of what"
says 'cpu .*of 0.5 processors' "of the processor too"
says 'processes +[12] of 50' "and how many processes"
says 'runs from +/nix/store/.*rootfs' "says what it runs from"
same "its address is the one of its name" "$(status fine '.addresses[0]')" \
	"$(dig +short AAAA fine.lan.one.test.internal @"$(ip -6 -o addr show scope global | sed -nE 's/.*inet6 ([^/]+).*/\1/p' | head -1)")"
check "memory is counted" [ "$(status fine .usage.memoryBytes)" -gt 100000 ]
check "with the timing" hc status fine --timing
for step in execute read lock cgroup clone fork mount network exec ready; do
	says "^$step +[0-9.]+ +[0-9.]+ +[0-9.]+" "says how long '$step' took"
done
same "no step ends before it begins, nor after the last" \
	"$(status fine '[.timing[] | select(.toUs < .fromUs)] + [(.timing | max_by(.toUs).step) | select(. != "ready")] | length')" 0
refuse 1 "no machine 'nobody'" "a machine that is not there" hc status nobody

# --- One whose root has a size.
small() { hc exec small -- sh -c "$1"; }
refuse 1 "No space left on device" "what does not fit is not written" small 'head -c 60M /dev/zero >/fill'
check "status" hc status small
says 'root +[34][0-9.]+ MiB of 40.0 MiB' "says how full it is"
check "what is deleted is room again" small 'rm /fill; sync; head -c 20M /dev/zero | tr "\0" x >/srv/kept'
check "a restart" hc restart small
same "keeps what was written" "$(small 'stat -c "%s %u" /srv/kept')" "20971520 0"
check "to a file system of that size" [ "$(small 'df --output=size -m / | tail -1')" -lt 40 ]
sed -i 's/rootSize = "40M"/rootSize = "100M"/' "$WORK/cloud/cloud.nix"
check "another size" deploy
check "is another layer, with that room" small 'test ! -e /srv/kept && head -c 60M /dev/zero >/fill'
check "it is stopped" hc stop small
check "and the host has its loop device again" within 10 bash -c '! losetup -a | grep -q machines/small'

tell() { hc exec "$1" -- sh -c "echo '$2' >/go.new; mv /go.new /go" 2>/dev/null; }
tell code 'exit 7'
check "a machine ends by itself" over code
same "with its exit code" "$(status code .exit.code)" 7
tell signal 'kill -SEGV $$'
check "another by a signal" over signal
check "is shown" hc status signal
says 'exit +signal 11 \(SIGSEGV\)' "by name"
tell hog 'exec tail /dev/zero'
check "a third has no memory left" over hog
check "is shown" hc ps
says 'hog .*out of memory' "hc ps says so"
says 'code .*exit status 7' "and what became of the others"
same "in JSON, too" "$(status hog .exit.oom)" true
check "one that does not stop" hc stop stubborn
same "is killed at its deadline" "$(status stubborn '[.exit.killed, .exit.requested, .phase] | join(" ")')" "true true stopped"
check "and its status says so" bash -c '"$HC" status stubborn | grep -q "did not stop in time"'

# One that cannot be started: the deploy goes back, and the reason is kept.
sed -i 's|code = waits;|code = waits // { command = [ "/no/such/program" ]; restart.policy = "always"; };|' "$WORK/cloud/cloud.nix"
refuse 6 "/no/such/program" "a machine that cannot be started" deploy
finish
