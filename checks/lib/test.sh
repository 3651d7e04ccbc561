# Sourced by the end-to-end tests: a cloud to deploy, and words to say what is expected.
# shellcheck shell=bash
# HC is the binary, WORK a directory of this test's own.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# The repository as a flake's input: what git tracks, and not what was built in it.
if [ -e "$top/.git" ]; then hc_flake="git+file://$top"; else hc_flake="path:$top"; fi
passed=0
failed=0

ok() {
	passed=$((passed + 1))
	echo "ok   $*"
}
not_ok() {
	failed=$((failed + 1))
	echo "FAIL $*"
	[ ! -s "$WORK/out" ] || sed 's/^/     | /' "$WORK/out" | tail -40
}

# check TITLE COMMAND…: the command succeeds.
check() {
	local title=$1
	shift
	if "$@" >"$WORK/out" 2>&1; then ok "$title"; else not_ok "$title (exit $?: $*)"; fi
}

# refuse CODE PATTERN TITLE COMMAND…: it fails with that exit code, and says something like PATTERN.
refuse() {
	local code=$1 pattern=$2 title=$3 got=0
	shift 3
	"$@" >"$WORK/out" 2>&1 || got=$?
	if [ "$got" -ne "$code" ]; then
		not_ok "$title: exit code $got, expected $code"
	elif [ -n "$pattern" ] && ! grep -Eqi -- "$pattern" "$WORK/out"; then
		not_ok "$title: does not say '$pattern'"
	else
		ok "$title"
	fi
}

# says PATTERN TITLE, silent PATTERN TITLE: the last command did, or did not, say something like it.
says() { if grep -Eqi -- "$1" "$WORK/out"; then ok "$2"; else not_ok "$2: does not say '$1'"; fi; }
silent() { if grep -Eqi -- "$1" "$WORK/out"; then not_ok "$2: says '$1'"; else ok "$2"; fi; }

# within SECONDS COMMAND…: it succeeds by then.
within() {
	local until=$((SECONDS + $1 + 1))
	while [ $SECONDS -lt $until ]; do "${@:2}" && return; sleep 0.1; done
	return 1
}

# same TITLE A B
same() { if [ "$2" = "$3" ]; then ok "$1"; else
	: >"$WORK/out"
	not_ok "$1: '$2' is not '$3'"
fi; }

# cloud FILE: the flake in $WORK/cloud, with FILE's text (stdin) as its module; site.nix lies beside it.
cloud() {
	mkdir -p "$WORK/cloud"
	cp "$(dirname "${BASH_SOURCE[0]}")/site.nix" "$WORK/cloud/"
	cat >"$WORK/cloud/cloud.nix"
	cat >"$WORK/cloud/flake.nix" <<-NIX
		{
		  inputs.hc.url = "$hc_flake";
		  outputs = { self, hc }: { clouds.test = hc.lib.mkCloud { modules = [ ./cloud.nix ]; }; };
		}
	NIX
}

hc() { "$HC" "$@"; }
deploy() { hc deploy "path:$WORK/cloud" "$@"; }

agent_pid() { hc agent status --json | jq .pid; }

# Waits until the agent's evaluator has nothing to do, or is not there: it works on after a deploy
# has ended, and begins a moment after.
evaluator() { hc agent status --json | jq -c ".evaluator$1"; }
kept() {
	local calm=0 _
	for _ in $(seq 600); do
		[ "$(evaluator .busy)" = true ] && calm=0 || calm=$((calm + 1))
		[ $calm -lt 3 ] || return 0
		sleep 0.2
	done
	return 1
}

# machine NAME FIELD: one field of `hc ps --json`.
machine() { hc ps --json | jq -r --arg n "$1" ".[] | select(.name == \$n) | .$2"; }

# What a leak would show in: mounts, links, rules, cgroups, loop devices, processes, namespaces.
footprint() {
	echo "mounts $(wc -l </proc/self/mountinfo)"
	echo "links $(ip -o link | wc -l)"
	# Without the counters of connections and questions, which come and go by themselves.
	echo "rules $(nft list ruleset 2>/dev/null |
		awk '/set hc_(count|asked)/ { skip = 1 } !skip { n++ } /^\t}/ { skip = 0 } END { print n + 0 }')"
	echo "cgroups $(find /sys/fs/cgroup -path '*hc.slice*' -type d 2>/dev/null | wc -l)"
	echo "loops $(losetup -a 2>/dev/null | wc -l)"
	echo "processes $(find /proc -maxdepth 1 -name '[0-9]*' | wc -l)"
	echo "netns $(for p in /proc/[0-9]*; do readlink "$p/ns/net" 2>/dev/null; done | sort -u | wc -l)"
	echo "run $(find /run/hc | wc -l)"
}

finish() {
	hc destroy --yes --keep-store >/dev/null 2>&1 || true
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
}
