# Sourced by eval.sh: how much memory a process takes.
# shellcheck shell=bash

# memory NAME COMMAND…: the most that one run holds at a time, in MiB.
memory() {
	local name=$1
	shift
	/usr/bin/time -f %M -o "$WORK/memory" "$@" >/dev/null 2>"$WORK/memory.log" || {
		cat "$WORK/memory.log" >&2
		return 1
	}
	awk '{ print $1 / 1024 }' "$WORK/memory" >>"$samples/$name"
}
