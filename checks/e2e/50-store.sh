# The store after a working day: C++ Nix finds nothing wrong in it, the collector takes what is old
# and nothing that runs, and `hc deploy` can be killed at any moment.
# own store
. "$(dirname "$0")/../lib/test.sh"

describe() {
	cloud <<-NIX
		{ images, ... }: {
		  cloud.name = "test";
		  hosts.one.networks.lan = { };
		  hosts.one.machines = {
		    still = { image = images.minimal; command = [ "/bin/hc" "guest" "init" ]; ready.when = "notify"; };
		    moving = { image = images.minimal; command = [ "/bin/hc" "guest" "init" ]; ready.when = "notify"; env.VALUE = "$1"; };
		  };
		}
	NIX
}
verify() { nix-store --verify --check-contents 2>&1 | tee "$WORK/verify" && ! grep -Eqi 'error|missing|modified|disappeared' "$WORK/verify"; }
value() { hc exec moving -- /bin/hc guest env VALUE; }
idle() {
	for _ in $(seq 200); do
		[ "$(hc agent status --json | jq -r '.activation == null and .machines == .ready')" = true ] && return
		sleep 0.05
	done
	return 1
}

for i in 1 2 3 4; do describe "v$i" && check "deploy v$i" deploy; done
check "C++ Nix finds the store in order" verify
check "C++ Nix knows the machine set as a closure" bash -c \
	'nix-store --query --requisites "$(readlink -f /var/lib/hc/current)" | grep -q machine-moving.json'

pid=$(machine moving pid)
check "gc, keeping no more than it must" hc gc --keep 0
same "two generations are left: current and previous" "$(hc generations --json | jq length)" 2
same "what runs goes on running" "$(machine moving pid)" "$pid"
check "its files are still there" hc exec moving -- /bin/hc --version
check "rollback still works" hc rollback
same "to the previous one" "$(value)" v3
check "C++ Nix collects nothing that hc needs" bash -c 'nix-store --gc >/dev/null 2>&1 && "$HC" rollback && "$HC" restart moving still'
same "and what it left runs" "$(value)" v4
check "C++ Nix finds the store in order" verify

# `hc deploy` killed at some moment: the old or the new, and the next deploy goes through.
old=v4
for i in $(seq 20); do
	new=k$i
	describe "$new"
	"$HC" deploy "path:$WORK/cloud" >"$WORK/out" 2>&1 &
	sleep "0.0$((i * 37 % 90 + 5))"
	kill -9 $! 2>/dev/null
	wait $! 2>/dev/null
	sleep 0.05 # a request that is out already reaches the agent
	idle
	now=$(value)
	case "$now" in
	"$old" | "$new") ok "deploy killed, round $i: $([ "$now" = "$old" ] && echo old || echo new)" ;;
	*) not_ok "deploy killed, round $i: '$now' is neither $old nor $new" ;;
	esac
	old=$now
done
describe last && check "the next deploy goes through" deploy
same "and is in effect" "$(value)" last
check "C++ Nix finds the store in order" verify
finish
