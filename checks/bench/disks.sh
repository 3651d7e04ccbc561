#!/bin/bash
# qcow2 to a sparse raw disk, beside `qemu-img convert -O raw`: 1 GiB of disk, half of it full, with
# clusters as they are and compressed with zlib and zstd. HC names the binary, or BUILDER the command
# before `disk`; QEMU_IMG the peer; RUNS how often, in turns. Prints a table.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILDER=${BUILDER:-${HC:?the hc binary to measure} builder}
QEMU_IMG=${QEMU_IMG:-qemu-img}
RUNS=${RUNS:-10}
WORK=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
trap 'rm -rf "$WORK"' EXIT
mkdir "$WORK/samples"
. "$top/checks/bench/lib.sh"

# What packs a little and what does not, 32 MiB of either and 64 MiB of nothing by turns.
say "making disks"
truncate -s 1G "$WORK/raw"
for ((at = 0; at < 1024; at += 128)); do
	head -c 24M /dev/urandom | base64 -w 0 >"$WORK/base64"
	head -c 32M /dev/urandom >"$WORK/noise"
	dd if="$WORK/base64" of="$WORK/raw" bs=1M seek=$at conv=notrunc status=none
	dd if="$WORK/noise" of="$WORK/raw" bs=1M seek=$((at + 32)) conv=notrunc status=none
done
"$QEMU_IMG" convert -f raw -O qcow2 "$WORK/raw" "$WORK/plain"
"$QEMU_IMG" convert -f raw -O qcow2 -c -o compression_type=zlib "$WORK/raw" "$WORK/zlib"
"$QEMU_IMG" convert -f raw -O qcow2 -c -o compression_type=zstd "$WORK/raw" "$WORK/zstd"

one() { # NAME COMMAND…: milliseconds of a whole process
	local name=$1 start
	shift
	start=$EPOCHREALTIME
	"$@" >"$WORK/log" 2>&1 || { cat "$WORK/log" >&2; return 1; }
	since "$start" >>"$samples/$name"
}
for kind in plain zlib zstd; do
	for ((run = 0; run < RUNS; run++)); do
		rm -rf "$WORK/out" "$WORK/peer.raw"
		# shellcheck disable=SC2086 # a command and its words
		one "$kind" env -i out="$WORK/out" src="$WORK/$kind" $BUILDER disk
		one "$kind-peer" "$QEMU_IMG" convert -f qcow2 -O raw "$WORK/$kind" "$WORK/peer.raw"
	done
	cmp "$WORK/out/disk.raw" "$WORK/raw"
	cmp "$WORK/peer.raw" "$WORK/raw"
done
version=$("$QEMU_IMG" --version | head -1)
echo "| what | hc | peer | peer's figure | ratio | budget | n |"
echo "|---|---|---|---|---|---|---|"
row "qcow2 of 1 GiB, half of it full, to raw" plain "$version" plain-peer "≤ 1.0"
row "the same, compressed (zlib)" zlib "$version" zlib-peer "≤ 1.0"
row "the same, compressed (zstd)" zstd "$version" zstd-peer "≤ 1.0"
