#!/bin/bash
# Forks of a 2 GiB disk and of a root file system of 12,000 files, on file systems made for it, beside
# `cp --reflink`, `qemu-img create`, `btrfs subvolume snapshot` and whole copies. hc's figures are of
# the fork alone, in a process that runs, as a machine's supervisor does it; the peers' are of their
# whole process, both with the highest priority. RUNS is how often. Prints a table; it needs 10 GiB in TMPDIR, and root.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
RUNS=${RUNS:-50}
if [ "${HC_BENCH_INSIDE-}" != 1 ]; then
	"$top/checks/install" test
	# The measurement is a test of hc-runtime's own: it reaches what containers do.
	HC_BENCH_TEST=$(cd "$top" && cargo test --release -q -p hc-runtime --lib --no-run --message-format=json |
		jq -r 'select(.executable and .target.name == "hc_runtime") | .executable' | tail -1)
	export HC_BENCH_TEST
	HC_BENCH_INSIDE=1 exec unshare --mount --propagation private "$0"
fi
# Both sides before whatever else this machine does.
renice -n -20 $$ >/dev/null
WORK=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
trap 'cd /; umount -l "$WORK"/{xfs,btrfs,ext4,erofs} 2>/dev/null || true; rm -rf --one-file-system "$WORK"' EXIT
mkdir "$WORK/samples"
. "$top/checks/bench/lib.sh"
cd "$WORK"

# volume KIND: what is deleted in it is free again on the disk below.
volume() {
	truncate -s 8G "$1.img"
	"mkfs.$1" -q "$1.img" >/dev/null 2>&1
	mkdir "$1"
	mount -o loop,discard "$1.img" "$1"
}
say "file systems and images"
disk=/nix/store/00000000000000000000000000000001-disk/disk.raw
root=/nix/store/00000000000000000000000000000002-root/rootfs.erofs
mkdir -p "$(dirname "store$disk")" "$(dirname "store$root")" tree erofs
head -c 2G /dev/urandom >"store$disk"
for dir in $(seq 120); do
	mkdir "tree/$dir"
	for file in $(seq 100); do head -c $((RANDOM % 8000)) /dev/zero | tr '\0' x >"tree/$dir/$file"; done
done
mkfs.erofs --quiet "store$root" tree
mount -t erofs -o loop "store$root" erofs
sync

# ours NAME KIND STATE IMAGE RUNS
ours() {
	HC_BENCH="$2 $3 $WORK/store $4 $5" "$HC_BENCH_TEST" --ignored --exact bench::forks --nocapture |
		sed -n 's/.*ms //p' >>"$samples/$1"
}
# theirs NAME COMMAND…: one run, as a whole process
theirs() {
	local name=$1 start=$EPOCHREALTIME
	shift
	"$@" >log 2>&1 || { cat log >&2; return 1; }
	since "$start" >>"$samples/$name"
}

for kind in xfs btrfs; do
	say "disks on $kind"
	volume $kind
	for run in 1 2 3; do
		rm -rf $kind/hc $kind/copy
		sync
		ours $kind-base base "$WORK/$kind/hc" $disk 1
		sync
		theirs $kind-copy bash -c "cp --sparse=always store$disk $kind/copy && sync -f $kind/copy"
	done
	for ((run = 0; run < RUNS; run++)); do
		ours $kind-fork disk "$WORK/$kind/hc" $disk 1
		theirs $kind-cp cp --reflink=always $kind/copy $kind/fork-$run
	done
	umount $kind
	rm -r $kind $kind.img
done
say "disks on ext4"
volume ext4
ours first disk "$WORK/ext4/hc" $disk 1
for ((run = 0; run < RUNS; run++)); do
	ours ext4-fork disk "$WORK/ext4/hc" $disk 1
	theirs ext4-qemu qemu-img create -f qcow2 -b "$WORK/store$disk" -F raw ext4/$run.qcow2
done
theirs ext4-copy bash -c "cp --reflink=never store$disk ext4/copy && sync -f ext4/copy"
rm -rf ext4/copy

say "roots"
volume btrfs
btrfs subvolume create btrfs/theirs >/dev/null
for ((run = 0; run < RUNS; run++)); do
	ours root-overlay root "$WORK/ext4/hc" $root 1
	mkdir -p ext4/u$run ext4/w$run o
	theirs root-mount mount -t overlay -o "lowerdir=erofs,upperdir=ext4/u$run,workdir=ext4/w$run" overlay o
	umount o
done
theirs root-cp bash -c "cp -a erofs/. ext4/tree && sync -f ext4"
theirs root-base-cp bash -c "cp -a erofs/. btrfs/theirs && sync -f btrfs"
ours root-base root-base "$WORK/btrfs/hc" $root 1
for ((run = 0; run < RUNS; run++)); do
	ours root-snapshot root "$WORK/btrfs/hc" $root 1
	theirs root-btrfs btrfs subvolume snapshot btrfs/theirs btrfs/s$run
done

echo "$(uname -srm), $(nproc) cores, $(date -u +%F); loop devices on $(stat -f -c %T "$WORK"). Milliseconds: median, p95 [fastest–slowest]."
echo
echo "| what | hc | peer | peer's figure | ratio | budget | n |"
echo "|---|---|---|---|---|---|---|"
row "fork of a 2 GiB disk, XFS (reflink)" xfs-fork "cp --reflink=always" xfs-cp "≤ 1 ms"
row "the same" xfs-fork "a whole copy, flushed" xfs-copy "—"
row "fork of a 2 GiB disk, btrfs (reflink)" btrfs-fork "cp --reflink=always" btrfs-cp "≤ 1 ms"
row "fork of a 2 GiB disk, ext4 (qcow2 overlay)" ext4-fork "qemu-img create -b" ext4-qemu "≤ 1 ms"
row "the same" ext4-fork "a whole copy, flushed" ext4-copy "—"
row "the base of that disk, once, XFS" xfs-base "cp, flushed" xfs-copy "≤ 1.0"
row "the base of that disk, once, btrfs" btrfs-base "cp, flushed" btrfs-copy "≤ 1.0"
row "fork of a root of 12,000 files, ext4 (EROFS and overlay)" root-overlay "mount -t overlay, EROFS mounted before" root-mount "≤ 1 ms"
row "the same" root-overlay "cp -a, flushed" root-cp "—"
row "the same root, btrfs (snapshot)" root-snapshot "btrfs subvolume snapshot" root-btrfs "≤ 1 ms"
row "the base of that root, once, btrfs" root-base "cp -a, flushed" root-base-cp "≤ 1.0"
