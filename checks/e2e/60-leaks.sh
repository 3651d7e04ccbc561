# A hundred deploys and rollbacks leave the host as it was.
. "$(dirname "$0")/../lib/test.sh"

describe() {
	cloud <<-NIX
		{ images, ... }: {
		  cloud.name = "test";
		  hosts.one.networks.lan = { };
		  hosts.one.machines.still = { image = images.minimal; command = [ "/bin/hc" "guest" "init" ]; ready.when = "notify"; };
		  hosts.one.machines.moving = {
		    image = images.minimal; command = [ "/bin/hc" "guest" "init" ]; ready.when = "notify"; env.VALUE = "$1";
		  };
		}
	NIX
}

describe a && check "deploy a" deploy
describe b && check "deploy b" deploy
still=$(machine still pid)
agent=$(agent_pid)
kept
footprint >"$WORK/before"
descriptors=$(find "/proc/$agent/fd" -mindepth 1 | wc -l)
cycles=0
for i in $(seq 50); do
	describe a && deploy >"$WORK/out" 2>&1 || break
	hc rollback >"$WORK/out" 2>&1 || break
	cycles=$((cycles + 1))
done
same "fifty deploys and fifty rollbacks went through" "$cycles" 50
kept
sleep 1 # namespaces end after the processes in them
footprint >"$WORK/after"
alike() { diff "$WORK/before" "$WORK/after" || { ps -eo pid,ppid,stat,etimes,args; evaluator ''; return 1; }; }
check "nothing leaked" alike
same "the agent holds as many descriptors" "$(find "/proc/$agent/fd" -mindepth 1 | wc -l)" "$descriptors"
same "the machine that never changed is the same process" "$(machine still pid)" "$still"
finish
