#!/bin/bash
# 200 trivial builds beside `nix-build -j2`: each derivation writes one line. Both make a store of
# their own for each run, sandbox on, so evaluation, writing derivations and building all count.
# HC names the binary; RUNS is how often (default 3). Prints a row of a table.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export HC=${HC:?the hc binary to measure}
WORK=$(mktemp -d)
trap 'chmod -R u+w "$WORK"; rm -rf --one-file-system "$WORK"' EXIT
mkdir -p "$WORK/samples" "$WORK/conf" "$WORK/busybox/bin"
. "$top/checks/bench/lib.sh"
cp /bin/busybox "$WORK/busybox/bin/sh"
echo "build-users-group =
sandbox = true
filter-syscalls = false
experimental-features = nix-command" >"$WORK/conf/nix.conf"
cat >"$WORK/many.nix" <<'NIX'
let sh = builtins.path { path = ./busybox; name = "busybox"; };
in builtins.genList (n: derivation {
  name = "trivial-${toString n}"; system = "x86_64-linux";
  builder = "${sh}/bin/sh"; args = [ "-c" "echo ${toString n} > $out" ];
}) 200
NIX
export NIX_CONF_DIR=$WORK/conf HOME=$WORK/conf
for _ in $(seq "${RUNS:-3}"); do
	for what in hc nix; do
		store=$WORK/$what
		start=$EPOCHREALTIME
		case $what in
		hc) "$HC" --store "$store" build --file "$WORK/many.nix" --no-link -j2 ;;
		nix) nix-build --store "$store" --no-out-link -j2 "$WORK/many.nix" >/dev/null 2>"$WORK/nix.log" ;;
		esac
		since "$start" >>"$samples/$what"
		[ "$(find "$store/nix/store" -maxdepth 1 -name '*-trivial-*[0-9]' | wc -l)" -eq 200 ]
		chmod -R u+w "$store" && rm -rf --one-file-system "$store"
	done
done
row "200 trivial builds, empty store" hc "nix-build -j2, $(nix --version)" nix "ratio ≤ 0.33"
