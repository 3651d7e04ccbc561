#!/bin/bash
# The table of docs/microvms.md: starts of a microVM beside bare QEMU with the same kernel, initrd and
# root file system, alternately, on a test host.
#
#   HC=… KERNEL_DEB=… [RUNS=10] checks/bench/microvm.sh
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [ "${1-}" != inside ]; then
	out=$top/target/bench-microvm
	mkdir -p "$out/work"
	export HC_HOST_NIX=${HC_HOST_NIX:-$top/target/hosts/nix}
	"$top/checks/host" --online "$out/host" "$HC" build --no-link "path:$top/hosts/demo" >/dev/null
	WORK=$out/work RUNS=${RUNS:-10} exec "$top/checks/host" "$out/host" "$0" inside
fi
. "$top/checks/lib/test.sh"
. "$top/checks/bench/lib.sh"
rm -rf "${samples:?}" "$WORK/cloud" && mkdir -p "$samples" "$WORK/cloud" && cp "$KERNEL_DEB" "$WORK/cloud/kernel.deb"
cloud <<-'NIX'
	{ images, ... }:
	let
	  vm = { kernel = images.kernel { src = ./kernel.deb; }; layerSize = "1G"; };
	  machine = vm: { inherit vm; kind = "microvm"; image = images.debian; command = [ "/bin/echo" "up" ]; };
	in {
	  cloud.name = "bench";
	  hosts.here.networks.lan = { };
	  hosts.here.machines.b-cold = machine vm;
	  hosts.here.machines.b-resumed = machine (vm // { resume = true; });
	  hosts.here.machines.b-first = machine (vm // { resume = true; });
	}
NIX
set=$(hc build --json "path:$WORK/cloud" | jq -r .set)
spec() { jq -r "$1" "$set/b-cold"; }

# started NAME MACHINE: from before the supervisor's start until what the command wrote is in its log.
started() {
	local log=/var/lib/hc/machines/$2/log/current start end
	start=$EPOCHREALTIME
	hc machine run "$(readlink "$set/$2")" || return 1
	end=$(sed -n 's/ o up$//p' "$log" | tail -1)
	since "$start" "${end:0:10}.${end:10:6}" >>"$samples/$1"
	since "$start" >>"$samples/$1-over"
}
# The same of QEMU by itself: until the words are on its console.
bare() {
	local start line khz
	khz=$(jq -r .tscKhz /run/hc/accelerators/*.json | head -1)
	start=$EPOCHREALTIME
	while IFS= read -r line; do
		[[ $line != up* ]] || since "$start" >>"$samples/bare"
	done < <(qemu-system-x86_64 -M microvm,pic=off,pit=off -accel tcg -cpu max -m 256 -nodefaults -no-user-config \
		-display none -no-reboot -bios qboot.rom -serial stdio -kernel "$(spec .vm.kernel)" -initrd "$(spec .vm.initrd)" \
		-append "console=ttyS0 quiet panic=-1 tsc_early_khz=$khz tsc=reliable -- /bin/echo up" \
		-drive "id=root,file=$(spec .image.rootfs),format=raw,if=none,readonly=on" \
		-device virtio-blk-device,drive=root,serial=root)
	since "$start" >>"$samples/bare-over"
}
started first b-cold # finds out what runs guests here
hc machine prepare "$(readlink "$set/b-resumed")" >/dev/null # as a deploy does
started first b-resumed
for _ in $(seq "$RUNS"); do
	started cold b-cold
	bare
	started resumed b-resumed
	rm -rf --one-file-system /var/lib/hc/machines/b-first/fork
	started begun b-first
done
accelerator=$(jq -r .kind /run/hc/accelerators/*.json | head -1)
hc destroy --yes --keep-store >/dev/null 2>&1 || true

# One that runs is forked, where a disk can be shared and where it is mirrored.
cloud <<-'NIX'
	{ images, ... }: {
	  cloud.name = "bench";
	  hosts.here.networks.lan = { };
	  hosts.here.machines.b-runs = {
	    kind = "microvm";
	    image = images.debian;
	    vm = { kernel = images.kernel { src = ./kernel.deb; }; layerSize = "1G"; };
	    command = [ "/bin/sleep" "infinity" ];
	    stop.signal = "KILL";
	    ready.timeoutSec = 150;
	  };
	}
NIX
mkdir -p /var/lib/hc
for kind in xfs ext4; do
	truncate -s 8G "$WORK/$kind.img"
	"mkfs.$kind" -q "$WORK/$kind.img"
	mount -o loop "$WORK/$kind.img" /var/lib/hc
	deploy >/dev/null
	for n in $(seq "$RUNS"); do
		hc fork b-runs "b-fork$n" --json | jq .pauseMs >>"$samples/pause-$kind"
		hc stop "b-fork$n" >/dev/null
	done
	hc destroy --yes --keep-store >/dev/null
	umount /var/lib/hc
	rm "$WORK/$kind.img"
done
echo "$(uname -sr), $(nproc) cores, $(date +%F), load $(cut -d' ' -f1 /proc/loadavg); accelerator: $accelerator. Milliseconds: median, p95 [fastest–slowest]."
echo
echo "| what | hc | peer | peer's figure | ratio | budget | n |"
echo "|---|---|---|---|---|---|---|"
row "cold start, to the command's first words" cold "QEMU by itself, the same kernel, initrd and image" bare "≤ 1.10"
row "cold start to power-off" cold-over "the same" bare-over "—"
row "first start with a description, from a saved machine, to the command's first words" begun "cold start" cold "p50 ≤ 150 ms, p95 ≤ 300 ms"
row "start from a saved machine, its layer kept, to the command's first words" resumed "cold start" cold "p50 ≤ 150 ms, p95 ≤ 300 ms"
row "how long a machine stands still that is forked, XFS" pause-xfs "—" none "≤ 20 ms"
row "the same on ext4, where its disk is mirrored" pause-ext4 "—" none "≤ 20 ms"
