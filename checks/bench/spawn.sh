#!/bin/bash
# Where the time of a start goes, alone, with 100 at once and where 99 run already, and what an idle
# machine takes besides its payload: `HC=… checks/bench/spawn.sh [COUNT]`. The supervisors' own stamps, by `hc status --json`.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
count=${1:-100}
out=$top/target/bench/spawn
if [ "${HC_BENCH_INSIDE-}" != 1 ]; then
	mkdir -p "$out/work"
	"$top/checks/host" --online "$out" "${HC:?the hc binary to measure}" build "path:$top/hosts/many#many" >/dev/null
	HC_BENCH_INSIDE=1 WORK=$out/work exec "$top/checks/host" "$out" bash "${BASH_SOURCE[0]}" "$count"
fi

trap '"$HC" destroy --yes --keep-store >/dev/null 2>&1' EXIT
flake() { # COUNT
	local hc_flake="path:$top"
	[ ! -e "$top/.git" ] || hc_flake="git+file://$top"
	mkdir -p "$WORK/many"
	cp "$top/hosts/many/cloud.nix" "$WORK/many/cloud.nix"
	cat >"$WORK/many/flake.nix" <<-NIX
		{
		  inputs.hc.url = "$hc_flake";
		  outputs = { hc, ... }: {
		    clouds.many = hc.lib.mkCloud { modules = [ ./cloud.nix ]; specialArgs.count = $1; };
		  };
		}
	NIX
}
# One JSON document of each machine's timing.
timings() { # MACHINE…
	local name
	for name in "$@"; do "$HC" status "$name" --json; done | jq -c .timing
}
# The same machine, started again and again.
alone() {
	for _ in $(seq 20); do
		"$HC" restart m0001 >/dev/null
		timings m0001
	done
}
statistics='
	def ms: (. / 10 | round) / 100;
	def quantile($q): sort | .[((length - 1) * $q) | round];
	def figure: "\(quantile(0.5) | ms) | \(quantile(0.95) | ms) | \(max | ms)";
'
table() { # TITLE < timings
	jq -rs --arg title "$1" "$statistics"'
		"| \($title): from the request to the command executed | \([.[] | map(select(.step == "exec"))[0].toUs] | figure) |",
		"| the same, to ready | \([.[] | map(.toUs) | max] | figure) |",
		(["execute", "read", "lock", "clone", "cgroup", "fork", "mount", "network", "exec", "ready"][] as $step
			| "| of that: \($step) | \([.[] | map(select(.step == $step))[0] | select(. != null) | .toUs - .fromUs] | figure) |")'
}

echo "$(uname -srm), $(nproc) cores, $(date -u +%Y-%m-%d). Milliseconds."
echo
echo "| what | median | p95 | most |"
echo "|---|---|---|---|"
flake 1
"$HC" deploy "path:$WORK/many" >/dev/null 2>&1
alone | tee "$WORK/first" | table "one machine alone, 20 times"
"$HC" destroy --yes --keep-store >/dev/null 2>&1
flake "$count"
"$HC" deploy --timeout 300 "path:$WORK/many" >/dev/null 2>&1
# shellcheck disable=SC2046 # names of machines
timings $("$HC" ps --json | jq -r '.[].name') | table "$count machines at once"
alone | tee "$WORK/last" | table "one machine where $((count - 1)) others run, 20 times"
echo
jq -rn --arg count "$count" --slurpfile first "$WORK/first" --slurpfile last "$WORK/last" "$statistics"'
	def started: [.[] | map(select(.step == "exec"))[0].toUs] | quantile(0.5);
	"Number \($count), where the others run, takes \(($last | started) / ($first | started) * 100 | round / 100) times as long as the first."'

# Proportional set sizes: what processes share counts once.
pss() { awk '/^Pss:/ { sum += $2 } END { print sum + 0 }' "/proc/$1/smaps_rollup" 2>/dev/null || echo 0; }
total=0
for status in /run/hc/machines/*/status.json; do
	for pid in $(jq '.supervisor_pid, .payload_pid' "$status"); do
		total=$((total + $(pss "$pid")))
	done
done
echo
echo "Memory of supervisor and first process, of each of $count idle machines: $((total / count)) KiB (PSS)."
