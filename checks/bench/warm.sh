#!/bin/bash
# Evaluation after an edit beside cold evaluation, both in one process: `checks/bench/warm.sh` prints a
# table. Each edit changes one line of one file; after each, warm and cold are compared. BENCH_EDITS
# makes a shorter run.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=${WORK:-$top/target/bench/warm}
edits=${BENCH_EDITS:-20}

cargo build --quiet --release -p nix-lang --example warm --manifest-path "$top/Cargo.toml"
warm=$(find "$top/target" -path '*/release/examples/warm' -newer "$top/Cargo.toml" | head -1)

rm -rf --one-file-system "${work:?}"
mkdir -p "$work"
cp -r "$top/hosts/many" "$top/modules" "$top/images" "$work/"
"$top/checks/bench/gen-system" "$work/system" 200
for count in many thousand; do
	cat >"$work/$count.nix" <<-NIX
		((import ./many/flake.nix).outputs { hc.lib = import ./modules { }; }).clouds.$count
		  { builder = "/nix/store/00000000000000000000000000000000-hc-builder"; }
	NIX
done
echo 'import ./system/system.nix' >"$work/system.nix"

# row TITLE FILE EDITED SED: SED has N where the number of the edit goes.
row() {
	local title=$1 file=$2 edited=$3 change=$4 at
	# What comes in is a line for each edit; it is made when the answer to the last one is there.
	coproc EVAL { "$warm" "$file" check; }
	local answers=()
	answer() { # reads up to what cold evaluation says
		local line
		while read -r line <&"${EVAL[0]}"; do
			case $line in
				warm*) answers+=("$(cut -d' ' -f2 <<<"$line")") ;;
				same) return ;;
				DIFFERENT) echo "$title: warm and cold evaluation differ" >&2; exit 1 ;;
			esac
		done
		exit 1
	}
	answer
	for at in $(seq "$edits"); do
		sed -i "${change//N/$at}" "$edited"
		echo "$edited" >&"${EVAL[1]}"
		answer
	done
	eval "exec ${EVAL[1]}>&-"
	wait "$EVAL_PID" 2>/dev/null || true
	printf '%s\n' "${answers[@]:1}" | sort -n | awk -v title="$title" -v first="${answers[0]}" '
		{ all[NR] = $1 }
		END {
			middle = all[int((NR + 1) / 2)]; high = all[int(NR * 0.95 + 0.5)]
			printf "| %s | %.1f, p95 %.1f [%.1f–%.1f] | %.0f | %d |\n", title, middle, high, all[1], all[NR], first, NR
		}'
}

echo "| what | after an edit (ms) | the first time, recorded (ms) | n |"
echo "|---|---|---|---|"
row "20 machines, one of them edited" "$work/many.nix" "$work/many/cloud.nix" 's/generation = ".*"/generation = "N"/'
row "1,000 machines, one of them edited" "$work/thousand.nix" "$work/many/cloud.nix" 's/generation = ".*"/generation = "N"/'
row "1,000 machines, all of them edited" "$work/thousand.nix" "$work/many/cloud.nix" 's/pids = [0-9]*/pids = 1N/'
row "a system of 200 modules, its configuration edited" "$work/system.nix" "$work/system/configuration.nix" \
	's/motto = ".*"/motto = "N"/'
row "the same, one of its modules edited" "$work/system.nix" "$(find "$work/system" -name 'm100*.nix' | head -1)" \
	's/cfg.level < [0-9]*/cfg.level < N/'
