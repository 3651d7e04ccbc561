# Sourced by measure.sh: single containers without an agent, beside crun and systemd-nspawn.
# shellcheck shell=bash

containers() {
	local set rootfs round
	set=$("$HC" build --json "path:$top/checks/bench/cloud" | jq -r .set)
	rootfs=$(jq -r .image.rootfs "$set/true")
	unpack "$rootfs"

	say "containers, start to end"
	payload "$set/true"
	local hc="$HC machine run $(readlink "$set/true")"
	local crun="crun --cgroup-manager=cgroupfs run --bundle $WORK/bundle hc-bench"
	local nspawn="systemd-nspawn --quiet --register=no --keep-unit --directory=$WORK/bundle/rootfs /bin/true"
	$hc # makes the bridge, as the first machine on a host does
	for round in 1 2 3 4 5 6; do
		timed run 10 "$hc"
		WHERE=$crun_host timed crun 10 "$crun"
		timed nspawn 3 "$nspawn"
	done

	say "containers, to the first instruction"
	payload "$set/clock"
	for round in $(seq 30); do
		first_instruction spawn hc_clock "$(readlink "$set/clock")"
		first_instruction crun-spawn crun_clock
	done

	say "containers, stop"
	payload "$set/waits"
	for round in $(seq 30); do
		stop_one stop hc_waiting "$HC" machine run "$(readlink "$set/waits")"
		stop_one crun-stop crun_waiting "$crun_host" $crun
	done
}

# What `date` printed, as nanoseconds, with the time just before the request in REQUEST.
hc_clock() {
	REQUEST=$EPOCHREALTIME
	"$HC" machine run "$1"
	CLOCK=$(sed -n 's/^[0-9]* o //p' /var/lib/hc/machines/clock/log/current | tail -1)
}
# In crun's place from before the request, so that making the place is not counted.
crun_clock() {
	local text
	text=$("$crun_host" bash -c 'echo $EPOCHREALTIME; exec '"crun --cgroup-manager=cgroupfs run --bundle $WORK/bundle hc-bench")
	REQUEST=${text%%$'\n'*}
	CLOCK=${text##*$'\n'}
}
first_instruction() { # NAME COMMAND…
	local name=$1
	shift
	"$@"
	since "$REQUEST" "${CLOCK:0:10}.${CLOCK:10:6}" >>"$samples/$name"
}

hc_waiting() { tail -1 /var/lib/hc/machines/waits/log/current 2>/dev/null | grep -q ' o waiting$'; }
crun_waiting() { grep -q waiting "$WORK/waits.log"; }
# stop_one NAME WAITING COMMAND…: SIGTERM to the foreground process, until it is gone.
stop_one() {
	local name=$1 waiting=$2 pid start
	shift 2
	: >"$WORK/waits.log"
	"$@" >"$WORK/waits.log" 2>&1 &
	pid=$!
	until "$waiting"; do
		if [ ! -d "/proc/$pid" ]; then
			cat "$WORK/waits.log" >&2
			return 1
		fi
		sleep 0.01
	done
	start=$EPOCHREALTIME
	kill -TERM "$pid"
	wait "$pid" || true
	since "$start" >>"$samples/$name"
}
