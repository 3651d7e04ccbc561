#!/bin/bash
# The store beside C++ Nix, in the same run: packing, unpacking and copying a closure of 1 GiB and
# 50,000 files, and adding a tree of 10,000 files. Prints a table; --write puts it into
# docs/benchmarks.md.
# STORE names the program (cargo build --release -p nix-store --example store), PEER a directory with
# a Debian that has the nix to measure against (none: that of this host), RUNS how often (default 5),
# FILES how many files are in each of the 50 trees (default 1000), TMPDIR where it all happens.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
STORE=${STORE:?the store program to measure}
if [ -n "${PEER-}" ] && [ "${BENCH_INSIDE-}" != 1 ]; then
	# The peer sees the same files, at the same place, in mounts of our own.
	BENCH_INSIDE=1 exec unshare --mount "$0" "$@"
fi
WORK=$(mktemp -d "${TMPDIR:-/tmp}/bench.XXXXXX")
trap 'chmod -R u+w "$WORK"; rm -rf --one-file-system "$WORK"' EXIT
mkdir -p "$WORK/samples" "$WORK/home"
. "$top/checks/bench/lib.sh"
export NIX_CONFIG="experimental-features = nix-command
build-users-group =
substituters ="
if [ -n "${PEER-}" ]; then
	mkdir -p "$PEER/mnt"
	mount --bind "$WORK" "$PEER/mnt"
	mount -t proc proc "$PEER/proc"
	there=/mnt
	peer() { chroot "$PEER" env HOME=/mnt/home "$@"; }
else
	there=$WORK
	peer() { env HOME="$WORK/home" "$@"; }
fi

# 50 trees of 1,000 files: sizes from a few bytes to a megabyte, 21 KiB on average.
python3 - "$WORK/trees" "${FILES:-1000}" <<'PYTHON'
import os, random, sys
top, files = sys.argv[1], int(sys.argv[2])
random.seed(1)
noise = os.urandom(8 << 20)
for tree in range(50):
    for number in range(files):
        directory = f"{top}/tree{tree}/d{number % 40}/e{number % 7}"
        os.makedirs(directory, exist_ok=True)
        size = min(int(random.lognormvariate(8.3, 1.83)), 1 << 20)
        begin = random.randrange(len(noise) - size)
        with open(f"{directory}/file{number}", "wb") as file:
            file.write(noise[begin : begin + size])
PYTHON
mkdir "$WORK/source"
for number in 0 1 2 3 4 5 6 7 8 9; do cp -r "$WORK/trees/tree$number" "$WORK/source/"; done
what="$(find "$WORK/trees" -type f | wc -l) files, $(du -sm --apparent-size "$WORK/trees" | cut -f1) MiB"
say "$what"
closure=$("$STORE" closure "$WORK/from" "$WORK"/trees/*)
"$STORE" dump "$WORK/trees" >"$WORK/trees.nar"
cmp "$WORK/trees.nar" <(peer nix-store --dump "$there/trees")

gone() { for at in "$@"; do [ ! -e "$at" ] || { chmod -R u+w "$at" && rm -rf --one-file-system "$at"; }; done; }
# once NAME COMMAND…: what it takes, with nothing left to write.
once() {
	local name=$1 start
	shift
	sync -f "$WORK"
	start=$EPOCHREALTIME
	"$@" >"$WORK/said" 2>&1 || { cat "$WORK/said" >&2; exit 1; }
	since "$start" >>"$samples/$name"
}
pack() { "$@" >/dev/null; }
unpack() { "$@" <"$WORK/trees.nar"; }
for run in $(seq "${RUNS:-5}"); do
	say "run $run"
	once pack pack "$STORE" dump "$WORK/trees"
	once pack-nix pack peer nix-store --dump "$there/trees"
	once unpack unpack "$STORE" restore "$WORK/out"
	gone "$WORK/out"
	once unpack-nix unpack peer nix-store --restore "$there/out"
	gone "$WORK/out"
	once copy "$STORE" copy "$WORK/from" "$WORK/to" "$closure"
	gone "$WORK/to"
	once copy-nix peer nix copy --no-check-sigs --from "$there/from" --to "$there/to" "$closure"
	[ "$(find "$WORK/to/nix/store" -maxdepth 1 -name '*-tree*' | wc -l)" -eq 50 ]
	gone "$WORK/to"
	once copy-flushed peer nix copy --no-check-sigs --from "$there/from" \
		--to "$there/to?fsync-store-paths=true" --option fsync-store-paths true "$closure"
	gone "$WORK/to"
	once add "$STORE" add "$WORK/one" "$WORK/source"
	once add-nix peer nix-store --store "$there/two" --add "$there/source"
	gone "$WORK/one" "$WORK/two"
done
nix=$(peer nix --version | sed 's/nix (Nix)/Nix/')
{
	echo "$(uname -sr) $(uname -m), $(nproc) cores, $(df --output=fstype "$WORK" | tail -1), $(date +%F). Milliseconds: median, p95 [fastest–slowest]."
	echo
	echo "| what | hc | peer | peer's figure | ratio | budget | n |"
	echo "|---|---|---|---|---|---|---|"
	row "pack $what" pack "$nix" pack-nix "ratio ≤ 0.5"
	row "unpack them" unpack "$nix" unpack-nix "ratio ≤ 0.5"
	row "copy them from store to store, 50 paths, flushed" copy "$nix, not flushed" copy-nix "ratio ≤ 0.5"
	row "the same" copy "$nix, \`fsync-store-paths\`" copy-flushed "—"
	row "add a tree of $(find "$WORK/source" -type f | wc -l) files, flushed" add "$nix, \`nix-store --add\`, not flushed" add-nix "—"
} >"$WORK/table.md"
cat "$WORK/table.md"
if [ "${1-}" = --write ]; then
	page=$top/docs/benchmarks.md
	{
		sed -n '1,/<!-- store -->/p' "$page"
		cat "$WORK/table.md"
		sed -n '/<!-- end of store -->/,$p' "$page"
	} >"$WORK/page.md"
	cp "$WORK/page.md" "$page"
fi
