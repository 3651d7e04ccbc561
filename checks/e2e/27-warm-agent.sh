# The agent keeps evaluators warm, and deploys say and do what they would without.
. "$(dirname "$0")/../lib/test.sh"
export XDG_CACHE_HOME="$WORK/cache"

mkdir -p "$WORK/cloud/more"
echo '"one"' >"$WORK/cloud/value.nix"
cloud <<-'NIX'
	{ images, lib, ... }: {
	  cloud.name = "test";
	  hosts.one = {
	    networks.lan = { };
	    machines = lib.genAttrs [ "m1" "m2" ] (name: {
	      image = images.minimal;
	      command = [ "/bin/hc" "guest" "init" ];
	      ready.when = "notify";
	      env.MORE = toString (builtins.attrNames (builtins.readDir ./more));
	    });
	  };
	  imports = [ { hosts.one.machines.m1.env.VALUE = import ./value.nix; } ];
	}
NIX
# answers TITLE COMMAND…: as check, and it was the agent's evaluator that evaluated.
answers() {
	local before
	kept
	before=$(evaluator .answered)
	check "$@"
	same "  the kept evaluator answered" "$([ "$(evaluator .answered)" -gt "$before" ] && echo yes)" yes
}
# The same plan as one that is made with neither agent nor memory.
plan() { hc plan --json "path:$WORK/cloud" | jq -c '[.set, .warnings]'; }
cold() { XDG_CACHE_HOME=$(mktemp -d -p "$WORK") hc plan --run-dir "$WORK/nobody" --json "path:$WORK/cloud" | jq -c '[.set, .warnings]'; }

check "the first deploy" deploy
check "is kept in a process of its own" kept
process=$(evaluator .pid)
same "which is no part of the agent" "$([ "$process" != "$(agent_pid)" ] && echo other)" other

for edit in two three four; do
	echo "\"$edit\"" >"$WORK/cloud/value.nix"
	answers "'$edit'" hc plan "path:$WORK/cloud"
	same "evaluates to what a cold evaluation gives" "$(plan)" "$(cold)"
	answers "and is deployed" deploy
	same "with its effect" "$(hc exec m1 -- /bin/hc guest env VALUE)" "$edit"
done
touch "$WORK/cloud/more/a"
same "another file in a directory" "$(plan)" "$(cold)"
same "all by the same process" "$(evaluator .pid)" "$process"

echo '"four" + ' >"$WORK/cloud/value.nix"
kept
refuse 3 "value.nix:[0-9]" "a mistake has its exit code and its place" deploy
hc plan "path:$WORK/cloud" >/dev/null 2>"$WORK/warm.err"
hc plan --run-dir "$WORK/nobody" "path:$WORK/cloud" >/dev/null 2>"$WORK/cold.err"
same "and reads as without the agent" "$(cat "$WORK/warm.err")" "$(cat "$WORK/cold.err")"
echo 'builtins.trace "EVALUATED" "five"' >"$WORK/cloud/value.nix"
check "messages" deploy && says EVALUATED "  are printed"
echo 'builtins.trace "EVALUATED" "six"' >"$WORK/cloud/value.nix"
check "each time" deploy && says EVALUATED "  they are printed"
same "with its effect" "$(hc exec m1 -- /bin/hc guest env VALUE)" six

echo '"seven"' >"$WORK/cloud/value.nix"
check "without messages" deploy
check "it is kept again" kept
before=$(machine m2 pid)
kill -9 "$(evaluator .pid)"
echo '"eight"' >"$WORK/cloud/value.nix"
check "when the process is killed, the next deploy does without" deploy
same "with its effect" "$(hc exec m1 -- /bin/hc guest env VALUE)" eight
same "and no machine has noticed" "$(machine m2 pid)" "$before"
check "and it is kept once more" kept
process=$(evaluator .pid)
echo '"nine"' >"$WORK/cloud/value.nix"
same "other surroundings are not its own" "$(NIX_SOMETHING=1 plan)" "$(cold)"
check "the agent ends" hc agent stop
for _ in $(seq 50); do kill -0 "$process" 2>/dev/null || break; sleep 0.1; done
check "and the process with it" test ! -e "/proc/$process"

# A git work tree with changes: it is said that there are some, as often as without.
git -C "$WORK/cloud" init --quiet
git -C "$WORK/cloud" add .
git() { command git -C "$WORK/cloud" -c user.name=a -c user.email=a@example.org "$@"; }
check "a repository" git commit --quiet -m one
hc agent start >/dev/null
hc deploy "$WORK/cloud" >/dev/null 2>&1
check "is kept" kept
echo '"ten"' >"$WORK/cloud/value.nix"
hc plan --json "$WORK/cloud" >"$WORK/warm.out" 2>"$WORK/warm.err"
hc plan --run-dir "$WORK/nobody" --json "$WORK/cloud" >"$WORK/cold.out" 2>"$WORK/cold.err"
same "a dirty tree evaluates to the same" "$(cat "$WORK/warm.out")" "$(cat "$WORK/cold.out")"
same "and says the same" "$(cat "$WORK/warm.err")" "$(cat "$WORK/cold.err")"
git add . && git commit --quiet -m two
hc plan --json "$WORK/cloud" >"$WORK/warm.out" 2>"$WORK/warm.err"
hc plan --run-dir "$WORK/nobody" --json "$WORK/cloud" >"$WORK/cold.out" 2>"$WORK/cold.err"
same "a clean one too" "$(cat "$WORK/warm.out" "$WORK/warm.err")" "$(cat "$WORK/cold.out" "$WORK/cold.err")"
finish
