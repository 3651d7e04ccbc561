# Sourced by measure.sh: hosts/many with an agent, and its evaluation beside Nix.
# shellcheck shell=bash

evaluation() {
	say "evaluation"
	local builder=/nix/store/00000000000000000000000000000000-hc-builder round
	cat >"$WORK/eval.nix" <<-NIX
		((import $top/hosts/many/flake.nix).outputs { hc.lib = import $top/modules { }; }).clouds.many
		  { builder = "$builder"; }
	NIX
	# Both compute; what Nix would write is there already, so that it too only reads.
	"$HC" eval --impure --json --file "$WORK/eval.nix" | jq -S . >"$WORK/hc.json"
	nix_ eval --impure --json --file "$WORK/eval.nix" | jq -S . >"$WORK/nix.json"
	cmp "$WORK/hc.json" "$WORK/nix.json"
	for round in 1 2 3 4; do
		timed eval 10 "$HC eval --impure --json --file $WORK/eval.nix"
		WHERE="env HOME=$WORK/home" timed nix-eval 10 \
			"nix --extra-experimental-features nix-command --store $WORK/nix eval --impure --json --file $WORK/eval.nix"
	done
}

# cloud COUNT PREFIX RUNS: deploys hosts/many with COUNT machines; samples are named PREFIX-….
cloud() {
	local count=$1 prefix=${2:+$2-} runs=$3 start
	local flake=$WORK/many-$count hc_flake="path:$top"
	[ ! -e "$top/.git" ] || hc_flake="git+file://$top"
	mkdir -p "$flake"
	cp "$top/hosts/many/cloud.nix" "$flake/cloud.nix"
	cat >"$flake/flake.nix" <<-NIX
		{
		  inputs.hc.url = "$hc_flake";
		  outputs = { hc, ... }: {
		    clouds.many = hc.lib.mkCloud { modules = [ ./cloud.nix ]; specialArgs.count = $count; };
		  };
		}
	NIX
	say "first deploy, $count machines"
	start=$EPOCHREALTIME
	if ! "$HC" deploy --timeout 150 "path:$flake" >"$WORK/deploy.log" 2>&1; then
		tail -5 "$WORK/deploy.log" >&2
		say "no figures for $count machines"
		"$HC" destroy --yes --keep-store >/dev/null
		return 0
	fi
	since "$start" >>"$samples/${prefix}first"

	say "deploy, no change, $count machines"
	timed "${prefix}noop" "$runs" "$HC deploy path:$flake"
	say "one line changed, $count machines"
	timed "${prefix}change" "$runs" "$HC deploy path:$flake" "sed -i /generation.=/s/1/11/ $flake/cloud.nix"
	say "rollback, $count machines"
	timed "${prefix}rollback" "$runs" "$HC rollback"
	memory "$prefix"
	[ -n "$prefix" ] || timed verb-stop 20 "$HC stop m0002" "$HC start m0002"
	say "destroy, $count machines"
	"$HC" destroy --yes --keep-store >/dev/null
}

# The agent's resident memory, and what one supervisor has for itself and its share of the rest.
memory() {
	local agent supervisor
	agent=$("$HC" agent status | sed -n 's/.*process \([0-9]*\).*/\1/p')
	awk '/^VmRSS:/ { print $2 / 1024 }' "/proc/$agent/status" >>"$samples/${1}memory"
	[ -z "$1" ] || return 0
	for supervisor in $(jq -r .supervisor_pid /run/hc/machines/*/status.json); do
		awk '/^Pss:/ { print $2 / 1024 }' "/proc/$supervisor/smaps_rollup" >>"$samples/supervisor"
	done
}
