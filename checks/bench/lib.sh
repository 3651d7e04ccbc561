# Sourced by measure.sh: samples in files, one number a line, and what is said about them.
# shellcheck shell=bash
# WORK is a directory of this run's own.

samples=$WORK/samples

# timed NAME RUNS COMMAND [PREPARE]: milliseconds of whole processes, started without a shell.
# WHERE, if set, is a command that runs another: the place to measure in.
timed() {
	local name=$1 runs=$2 command=$3 prepare=()
	[ -z "${4-}" ] || prepare=(--prepare "$4")
	if ! ${WHERE-} hyperfine -N --runs "$runs" --export-json "$WORK/times.json" "${prepare[@]}" "$command" \
		>"$WORK/hyperfine.log" 2>&1; then
		cat "$WORK/hyperfine.log" >&2
		return 1
	fi
	jq '.results[0].times[] * 1000' "$WORK/times.json" >>"$samples/$name"
}

# since START [END]: milliseconds between two values of EPOCHREALTIME.
since() {
	local start=${1/[.,]/} end=${2-$EPOCHREALTIME}
	end=${end/[.,]/}
	printf '%d.%03d\n' $(((end - start) / 1000)) $(((end - start) % 1000))
}

# What jq knows of a file of numbers.
statistics='
	def median: sort | if length % 2 == 1 then .[(length - 1) / 2] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
	def p95: sort | .[((length * 0.95) | ceil) - 1];
	def short: if . >= 100 then round elif . >= 10 then (. * 10 | round / 10) else (. * 100 | round / 100) end;
	def figure: if length == 1 then "\(.[0] | short)"
		else "\(median | short), p95 \(p95 | short) [\(min | short)–\(max | short)]" end;
'

measured() { [ -s "$samples/$1" ]; }
figure() { if measured "$1"; then jq -rs "$statistics figure" "$samples/$1"; else echo "—"; fi; }
ratio() { # of the medians
	if measured "$1" && measured "$2"; then
		jq -rn --slurpfile a "$samples/$1" --slurpfile b "$samples/$2" "$statistics"'
			($a | median) / ($b | median) * 100 | round / 100'
	else echo "—"; fi
}

# row TITLE NAME PEER PEER-NAME BUDGET: PEER says why where there are no samples of it.
row() {
	local n=0
	measured "$2" && n=$(wc -l <"$samples/$2")
	echo "| $1 | $(figure "$2") | $3 | $(figure "$4") | $(ratio "$2" "$4") | $5 | $n |"
}

say() { echo "bench: $*" >&2; }
