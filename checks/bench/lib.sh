# Sourced by measure.sh: samples in files, one number a line, and what is said about them.
# shellcheck shell=bash
# WORK is a directory of this run's own.

samples=$WORK/samples

# add NAME VALUE…: samples of NAME.
add() {
	local name=$1
	shift
	printf '%s\n' "$@" >>"$samples/$name"
}

# timed NAME RUNS COMMAND [PREPARE]: milliseconds of whole processes, started without a shell.
timed() {
	local name=$1 runs=$2 command=$3
	hyperfine -N --runs "$runs" --export-json "$WORK/times.json" ${4:+--prepare "$4"} "$command" \
		>"$WORK/hyperfine.log" 2>&1 || { cat "$WORK/hyperfine.log" >&2; return 1; }
	jq -r '.results[0].times[] * 1000' "$WORK/times.json" >>"$samples/$name"
}

# now: nanoseconds, without a process.
now() { REPLY=${EPOCHREALTIME/[.,]/}000; }

# ms FROM TO: milliseconds between two times in nanoseconds.
ms() { jq -n "($2 - $1) / 1e6"; }

# figure NAME [UNIT]: `median (p95) [fastest–slowest]`.
figure() {
	[ -s "$samples/$1" ] || { echo "—"; return; }
	jq -rs --arg unit "${2:-ms}" '
		def round2: if . >= 100 then round elif . >= 10 then (. * 10 | round / 10) else (. * 100 | round / 100) end;
		sort as $s | ($s | length) as $n
		| (if $n % 2 == 1 then $s[($n - 1) / 2] else ($s[$n / 2 - 1] + $s[$n / 2]) / 2 end) as $median
		| $s[(($n * 0.95) | ceil) - 1] as $p95
		| if $n == 1 then "\($s[0] | round2) \($unit)"
		  else "\($median | round2) \($unit) (p95 \($p95 | round2)) [\($s[0] | round2)–\($s[-1] | round2)]" end
	' "$samples/$1"
}

# ratio NAME PEER: of the medians.
ratio() {
	[ -s "$samples/$1" ] && [ -s "$samples/$2" ] || { echo "—"; return; }
	jq -rn --slurpfile a "$samples/$1" --slurpfile b "$samples/$2" '
		def median: sort | if length % 2 == 1 then .[(length - 1) / 2] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
		($a | median) / ($b | median) * 100 | round / 100'
}

# row TITLE NAME PEER-TITLE PEER-NAME BUDGET [UNIT]: PEER-TITLE says why, where there is no peer's figure.
row() {
	local n=0
	[ ! -s "$samples/$2" ] || n=$(wc -l <"$samples/$2")
	echo "| $1 | $(figure "$2" "${6-}") | $3 | $(figure "$4" "${6-}") | $(ratio "$2" "$4") | $5 | $n |"
}

say() { echo "bench: $*" >&2; }
