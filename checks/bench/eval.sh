#!/bin/bash
# Cold evaluation and parsing beside C++ Nix: `HC=… checks/bench/eval.sh [--write]` prints a table,
# or puts it into docs/benchmarks.md. NIX_BIN is the directory of the peer's programs, by default
# those that are installed; BENCH_PACKAGES and BENCH_ROUNDS make a shorter run.
# Needs hyperfine, jq, nix-bin and time. Nothing is built and no store is written.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export HC=${HC:?the hc binary to measure}
WORK=${WORK:-$top/target/bench/eval}
packages=${BENCH_PACKAGES:-10000} rounds=${BENCH_ROUNDS:-5}
nix=${NIX_BIN:-$(dirname "$(command -v nix-instantiate)")}/nix-instantiate

. "$top/checks/bench/lib.sh"
. "$top/checks/bench/memory.sh"

rm -rf --one-file-system "${WORK:?}"
mkdir -p "$samples" "$WORK/home"
export HOME=$WORK/home NIX_PATH=

say "writing what is evaluated"
"$top/checks/bench/gen-packages" "$WORK/packages" "$packages"
"$top/checks/bench/gen-system" "$WORK/system" 200
echo 'import ./packages/drv-paths.nix { }' >"$WORK/packages.nix"
echo 'import ./system/system.nix' >"$WORK/system.nix"
for count in many thousand; do
	cat >"$WORK/$count.nix" <<-NIX
		((import $top/hosts/many/flake.nix).outputs { hc.lib = import $top/modules { }; }).clouds.$count
		  { builder = "/nix/store/00000000000000000000000000000000-hc-builder"; }
	NIX
done

# both NAME FILE RUNS: alternating runs of both, after one look whether they say the same.
both() {
	local name=$1 file=$2 runs=$3 round
	local ours=("$HC" eval --read-only --impure --json --file "$file")
	local theirs=("$nix" --eval --json --strict "$file")
	say "$name"
	"${ours[@]}" | jq -S . >"$WORK/ours.json"
	"${theirs[@]}" | jq -S . >"$WORK/theirs.json"
	cmp "$WORK/ours.json" "$WORK/theirs.json"
	for round in $(seq "$rounds"); do
		timed "$name" "$runs" "${ours[*]}"
		timed "nix-$name" "$runs" "${theirs[*]}"
		memory "$name-memory" "${ours[@]}"
		memory "nix-$name-memory" "${theirs[@]}"
	done
}

both many "$WORK/many.nix" 5
both thousand "$WORK/thousand.nix" 1
both system "$WORK/system.nix" 3
both packages "$WORK/packages.nix" 1

# Every file that was written, by one process; where the verb is not there, the row is empty.
if "$HC" instantiate --help >/dev/null 2>&1; then
	say "parsing"
	find "$WORK/packages/pkgs" -name '*.nix' | sort >"$WORK/files"
	printf 'xargs -a %s -n 100000 %s instantiate --parse >/dev/null\n' "$WORK/files" "$HC" >"$WORK/parse.sh"
	printf 'xargs -a %s -n 100000 %s --parse >/dev/null\n' "$WORK/files" "$nix" >"$WORK/nix-parse.sh"
	for round in $(seq "$rounds"); do
		timed parse 1 "sh $WORK/parse.sh"
		timed nix-parse 1 "sh $WORK/nix-parse.sh"
	done
fi

peer=$("$nix" --version | sed 's/nix-instantiate (Nix)/Nix/')
pair() { # TITLE NAME BUDGET
	row "$1" "$2" "$peer" "nix-$2" "$3"
}
cat >"$WORK/table.md" <<TABLE
$(uname -srm), $(nproc) cores, $(date -u +%Y-%m-%d). Milliseconds or MiB: median, p95 [fastest–slowest].

| what | hc | peer | peer's figure | ratio | budget | n |
|---|---|---|---|---|---|---|
$(pair "20 machines, cold process" many "ratio ≤ 0.5")
$(pair "the same, memory (MiB)" many-memory "ratio ≤ 0.5")
$(pair "1,000 machines, cold process" thousand "ratio ≤ 0.5")
$(pair "the same, memory (MiB)" thousand-memory "ratio ≤ 0.5")
$(pair "a system of 200 modules and 1,000 options" system "ratio ≤ 0.5")
$(pair "the same, memory (MiB)" system-memory "ratio ≤ 0.5")
$(pair "every derivation of $packages packages, one file each" packages "ratio ≤ 0.5")
$(pair "the same, memory (MiB)" packages-memory "ratio ≤ 0.5")
$(pair "parsing those files" parse "ratio ≤ 0.5")
TABLE
cat "$WORK/table.md"

if [ "${1-}" = --write ]; then
	page=$top/docs/benchmarks.md
	{
		sed -n '1,/<!-- evaluation -->/p' "$page"
		cat "$WORK/table.md"
		sed -n '/<!-- end of evaluation -->/,$p' "$page"
	} >"$WORK/page.md"
	cp "$WORK/page.md" "$page"
fi
