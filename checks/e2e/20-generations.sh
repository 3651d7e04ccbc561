# Deploy, change, remove, roll back: what is touched, and what is not.
. "$(dirname "$0")/../lib/test.sh"

describe() { # NUMBER-OF-MACHINES VALUE-OF-m1
	cloud <<-NIX
		{ images, lib, ... }: {
		  cloud.name = "test";
		  hosts.one = {
		    networks.lan = { };
		    machines = builtins.listToAttrs (builtins.genList (i: {
		      name = "m\${toString (i + 1)}";
		      value = {
		        image = images.minimal;
		        command = [ "/bin/hc" "guest" "init" ];
		        ready.when = "notify";
		        env = if i == 0 then { VALUE = "$2"; } else { };
		      };
		    }) $1);
		  };
		}
	NIX
}
pids() { hc ps --json | jq -r '.[] | "\(.name) \(.pid)"' | sort; }
current() { readlink /var/lib/hc/current; }

describe 3 one
check "first deploy" deploy
before=$(pids)
same "three machines run" "$(echo "$before" | grep -c 'm[123] [0-9]')" 3
same "it is generation 1" "$(current)" generations/1

check "the same again" deploy
says 'no changes' "says that there is nothing to do"
same "touched no machine" "$(pids)" "$before"
same "made no generation" "$(current)" generations/1

describe 3 two
check "plan" hc plan "path:$WORK/cloud"
says 'restart +m1' "names the machine that changed"
silent '(restart|start|stop) +m[23]' "and no other"
check "deploy of the change" deploy
same "m2 and m3 keep their process" "$(pids | grep -v '^m1 ')" "$(echo "$before" | grep -v '^m1 ')"
check "m1 does not" bash -c "[ '$(machine m1 pid)' != '$(echo "$before" | sed -n 's/^m1 //p')' ]"
check "m1 sees the change" bash -c '"$HC" exec m1 -- /bin/hc guest env VALUE | grep -qx two'

after=$(pids)
kill -9 "$(agent_pid)"
check "an agent that was killed comes back with the next command" hc ps
same "and touched no machine" "$(pids)" "$after"
together() { # all of them succeed, whoever is first
	local starts=() start code=0
	hc agent stop || return
	for _ in 1 2 3 4 5 6 7 8; do
		hc agent start &
		starts+=($!)
	done
	for start in "${starts[@]}"; do wait "$start" || code=1; done
	return $code
}
for _ in 1 2 3; do check "eight starts of the agent at once" together; done
check "restart of the agent" hc agent restart
same "touches no machine" "$(pids)" "$after"

describe 2 two
check "deploy without m3" deploy
same "m3 is gone" "$(machine m3 name)" ""
same "its link is gone" "$(ip -o link show type veth | wc -l)" 2
same "its cgroup is gone" "$(find /sys/fs/cgroup -path '*hc.slice/m3*' -type d | wc -l)" 0
same "its name is gone" "$(dig +short AAAA m3.lan.one.test.internal)" ""
check "the others' names are there" bash -c '[ -n "$(dig +short AAAA m2.lan.one.test.internal)" ]'
same "the others keep their process" "$(pids)" "$(echo "$after" | grep -v '^m3 ')"

check "rollback" hc rollback
same "goes to the recorded previous generation" "$(current)" generations/2
same "m1 and m2 keep their process" "$(pids | grep -v '^m3 ')" "$(echo "$after" | grep -v '^m3 ')"
check "m3 runs again" bash -c '[ "$("$HC" ps --json | jq "[.[] | select(.ready)] | length")" = 3 ]'
check "rollback to a number" hc rollback --to 1
same "goes there" "$(current)" generations/1
check "and m1 is the old one" bash -c '"$HC" exec m1 -- /bin/hc guest env VALUE | grep -qx one'
refuse 1 "generation 77" "an unknown generation is refused" hc rollback --to 77
check "generations are listed" bash -c '[ "$("$HC" generations --json | jq length)" = 3 ]'

check "stop by hand" hc stop m2
same "is seen" "$(machine m2 phase)" stopped
check "start by hand" hc start m2
same "is seen, too" "$(machine m2 ready)" true
old=$(machine m2 pid)
check "restart by hand" hc restart m2
check "is a new process" bash -c "[ '$(machine m2 pid)' != '$old' ]"
kill -9 "$(machine m2 pid)"
check "a machine that dies is started again" bash -c '
	for i in $(seq 100); do
		[ "$("$HC" ps --json | jq -r ".[] | select(.name == \"m2\") | select(.ready) | .restarts")" = 1 ] && exit 0
		sleep 0.1
	done; exit 1'
finish
