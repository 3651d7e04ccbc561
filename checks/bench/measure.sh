#!/bin/bash
# Measures and prints the table; runs on a test host, from checks/bench/run.
# HC is the binary, WORK a directory of this run's own, BENCH_MACHINES the size of the large cloud.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
machines=${BENCH_MACHINES:-300}

. "$top/checks/bench/lib.sh"
. "$top/checks/bench/peers.sh"
. "$top/checks/bench/container.sh"
. "$top/checks/bench/cloud.sh"

rm -rf --one-file-system "${WORK:?}"/*
mkdir -p "$samples" "$WORK/home"
cleanup() {
	"$HC" destroy --yes --keep-store >/dev/null 2>&1 || true
	rm -rf --one-file-system "$WORK/bundle" "$WORK/nix" "$WORK/home"
}
trap cleanup EXIT

containers
evaluation
cloud 20 "" 30
cloud "$machines" large 10

crun=$(crun_name)
cat <<TABLE
$(uname -srm), $(nproc) cores, $(date -u +%Y-%m-%d). Milliseconds, if nothing else is said: median, p95 [fastest–slowest].

| what | hc | peer | peer's figure | ratio | budget | n |
|---|---|---|---|---|---|---|
$(row "container, start to end" run "$crun, no network" crun "ratio ≤ 1.0" )
$(row "the same" run "$(nspawn_name), no network" nspawn "—")
$(row "the same, right after another" run-after "$crun, no network" crun-after "—")
$(row "request to the payload's first instruction" spawn "$crun, no network" crun-spawn "ratio ≤ 1.0, p95 ≤ 30")
$(row "stop, the payload ends at once" stop "$crun, no network" crun-stop "≤ 20")
$(row "evaluate 20 machines, cold process" eval "$(nix_name)" nix-eval "ratio ≤ 0.5")
$(row "deploy, no change, 20 machines" noop "none" - "—")
$(row "deploy, no change, $machines machines" large-noop "none" - "p95 ≤ 100 at 1,000")
$(row "save to changed container ready, 20 machines" change "none" - "p95 ≤ 100")
$(row "the same, $machines machines" large-change "none" - "—")
$(row "rollback, 1 of 20 machines differs" rollback "none" - "—")
$(row "rollback, 1 of $machines machines differs" large-rollback "none" - "p95 ≤ 100 at 1,000")
$(row "\`hc stop\` of one of 20 machines" verb-stop "none" - "—")
$(row "first deploy, 20 machines, image built" first "none" - "—")
$(row "first deploy, $machines machines, image built" large-first "none" - "—")
$(row "agent's memory, 20 machines (MiB)" memory "none" - "—")
$(row "agent's memory, $machines machines (MiB)" large-memory "none" - "≤ 64 at 100 machines")
$(row "one machine's supervisor (MiB, PSS)" supervisor "none" - "—")
TABLE
