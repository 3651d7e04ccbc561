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
	# At rest: the kernel has taken away what the one before had. Of hc's that are links, and while it does
	# that nobody makes any.
	for round in $(seq 12); do
		timed run 5 "$hc" "sleep 0.1"
		WHERE=$crun_host timed crun 5 "$crun" "sleep 0.1"
		timed nspawn 2 "$nspawn" "sleep 0.1"
		timed run-after 5 "$hc"
		WHERE=$crun_host timed crun-after 5 "$crun"
	done

	say "containers, to the first instruction"
	payload "$set/clock"
	hc="$HC machine run $(readlink "$set/clock")"
	for round in $(seq 6); do
		first_instruction spawn 5 "$hc" # its output is in the log
		WHERE=$crun_host first_instruction crun-spawn 5 "$crun"
	done

	say "containers, stop"
	payload "$set/waits"
	for round in $(seq 30); do
		stop_one stop hc_waiting "$HC" machine run "$(readlink "$set/waits")"
		stop_one crun-stop crun_waiting "$crun_host" $crun
	done
}

# first_instruction NAME RUNS COMMAND: from just before the fork of COMMAND to the time that the
# payload read from the clock, which is the first thing `date` does once it is loaded.
first_instruction() {
	local log=/var/lib/hc/machines/clock/log/current start clock
	# shellcheck disable=SC2016 # expanded inside
	${WHERE-} bash -c 'for ((i = 0; i < $1; i++)); do
		sleep 0.1
		start=$EPOCHREALTIME
		clock=$($2)
		[ -n "$clock" ] || clock=$(sed -n "s/^[0-9]* o //p" "$3" | tail -1)
		echo "$start $clock"
	done' bash "$2" "$3" "$log" >"$WORK/clock"
	while read -r start clock; do
		since "$start" "${clock:0:10}.${clock:10:6}" >>"$samples/$1"
	done <"$WORK/clock"
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
