#!/bin/bash
# A tar file to EROFS, beside `mkfs.erofs --tar=f` (erofs-utils 1.7 or later): the table of
# docs/benchmarks.md. HC names the binary, or BUILDER the command before `tar-rootfs`; MKFS the peer;
# RUNS how often.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILDER=${BUILDER:-${HC:?the hc binary to measure} builder}
MKFS=${MKFS:-mkfs.erofs}
RUNS=${RUNS:-10}
WORK=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
trap 'rm -rf "$WORK"' EXIT
samples=$WORK/samples
mkdir "$samples"
. "$top/checks/bench/lib.sh"

# 12,000 files as a system has them, some large, and 256 MiB that do not compress well.
say "making a tar file"
mkdir -p "$WORK/tree/usr/lib"
awk -v dir="$WORK/tree" 'BEGIN {
	srand(7)
	for (i = 0; i < 12000; i++) {
		if (i % 100 == 0) { d = dir "/usr/lib/d" i; system("mkdir -p " d) }
		f = d "/f" i; n = int(rand() * 40) + 1
		for (j = 0; j < n; j++) printf "%d %d %.8f some text of a file that a system has\n", i, j, rand() > f
		close(f)
	}
}'
for i in 1 2 3 4; do head -c 48M /dev/urandom | base64 -w 0 >"$WORK/tree/large$i"; done
tar -C "$WORK/tree" --format=posix -cf "$WORK/plain.tar" .
gzip -1 -k "$WORK/plain.tar"
mv "$WORK/plain.tar.gz" "$WORK/gz.tar"

has_peer=true
if ! grep -q -- --tar <<<"$("$MKFS" --help 2>&1)"; then
	has_peer=false
	say "$MKFS has no --tar: no peer"
fi
one() { # NAME COMMAND…: milliseconds of a whole process
	local name=$1 start
	shift
	start=$EPOCHREALTIME
	"$@" >"$WORK/log" 2>&1 || { cat "$WORK/log" >&2; return 1; }
	since "$start" >>"$samples/$name"
}
for kind in plain gz; do
	more=()
	[ $kind = plain ] || more=(--gzip)
	for ((run = 0; run < RUNS; run++)); do
		rm -rf "$WORK/out" "$WORK/peer.img"
		mkdir -p "$WORK/work"
		# shellcheck disable=SC2086 # a command and its words
		one "$kind" env -i out="$WORK/out" TMPDIR="$WORK/work" src="$WORK/$kind.tar" $BUILDER tar-rootfs
		! $has_peer || one "$kind-peer" $MKFS --quiet --tar=f "${more[@]}" "$WORK/peer.img" "$WORK/$kind.tar"
	done
done
version=$($MKFS --version 2>&1 | head -1)
echo "| what | hc | peer | peer's figure | ratio | budget | n |"
echo "|---|---|---|---|---|---|---|"
row "tar file of 12,004 files, 270 MiB, to EROFS" plain "$version" plain-peer "≤ 1.0"
row "the same, gzip" gz "$version" gz-peer "≤ 1.0"
