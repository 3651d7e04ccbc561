# Killed or failed before and after every step, with real machines: the next agent ends in exactly
# the old or the new generation. The same matrix runs in hc-agent's own tests, undoing included.
. "$(dirname "$0")/../lib/test.sh"

describe() {
	cloud <<-NIX
		{ images, ... }: {
		  cloud.name = "test";
		  hosts.one.networks.lan = { };
		  hosts.one.machines = {
		    still = { image = images.minimal; command = [ "/bin/hc" "guest" "init" ]; ready.when = "notify"; };
		    moving = { image = images.minimal; command = [ "/bin/hc" "guest" "init" ]; ready.when = "notify"; env.VALUE = "$1"; };
		    $1 = { image = images.minimal; command = [ "/bin/hc" "guest" "init" ]; ready.when = "notify"; };
		  };
		}
	NIX
}
settle() {
	for _ in $(seq 200); do
		[ "$(hc agent status --json | jq -r '.activation == null and .problem == null and .machines == .ready')" = true ] && return
		sleep 0.05
	done
	return 1
}
# What is in effect, in one word: old, new, or how the parts disagree.
effect() {
	local value names links
	value=$(hc exec moving -- /bin/hc guest env VALUE 2>&1)
	names=$(hc ps --json | jq -r '[.[] | select(.ready) | .name] | sort | join(" ")')
	links=$(ip -o link show type veth | wc -l)
	if [ -e /var/lib/hc/journal ]; then
		echo "a journal is left"
	elif [ "$value $names $links" = "old moving old still 3" ]; then
		echo old
	elif [ "$value $names $links" = "new moving new still 3" ]; then
		echo new
	else
		echo "value $value, machines $names, $links links"
	fi
}

describe old && check "the old generation" deploy
still=$(machine still pid)
for step in generation networks switch machines ready record retire; do
	for when in before after; do
		for action in error kill; do
			point=$step:$when:$action
			hc agent stop
			HC_FAILPOINT=$point hc agent start
			describe new
			deploy >"$WORK/out" 2>&1
			code=$?
			hc agent restart >>"$WORK/out" 2>&1
			settle || echo "did not settle" >>"$WORK/out"
			now=$(effect)
			case "$code $action $now" in
			"6 error old" | "8 kill old" | "8 kill new") ok "$point: $now, and nothing in between" ;;
			*) not_ok "$point: exit code $code, then: $now" ;;
			esac
			describe old && deploy >"$WORK/out" 2>&1 || not_ok "$point: back to the old one"
		done
	done
done
same "through all of this the machine that never changed kept its process" "$(machine still pid)" "$still"
finish
