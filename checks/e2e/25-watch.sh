# hc watch: every save is deployed, and touches what it changes.
. "$(dirname "$0")/../lib/test.sh"

machine_file() { # VALUE
	printf '{ env.VALUE = "%s"; }\n' "$1" >"$WORK/cloud/value.nix.new"
	mv "$WORK/cloud/value.nix.new" "$WORK/cloud/value.nix"
}
mkdir -p "$WORK/cloud"
machine_file one
cloud <<-'NIX'
	{ images, lib, ... }: {
	  cloud.name = "test";
	  hosts.one = {
	    networks.lan = { };
	    machines = lib.genAttrs [ "m1" "m2" "m3" ] (name: {
	      image = images.minimal;
	      command = [ "/bin/hc" "guest" "init" ];
	      ready.when = "notify";
	    });
	  };
	  imports = [ { hosts.one.machines.m1 = import ./value.nix; } ];
	}
NIX
value() { hc exec m1 -- /bin/hc guest env VALUE; }
becomes() { # VALUE: waits until m1 has it
	for _ in $(seq 100); do
		[ "$(value 2>/dev/null)" = "$1" ] && return
		sleep 0.1
	done
	return 1
}
lines() { grep -c . "$WORK/watch.out"; }
said() { # PATTERN: waits until watch has said it
	for _ in $(seq 100); do
		grep -qE "$1" "$WORK/watch.out" && return
		sleep 0.1
	done
	return 1
}

hc watch --json "path:$WORK/cloud" >"$WORK/watch.out" 2>"$WORK/watch.err" &
watch=$!
check "the first deploy" becomes one
check "is told" said '"outcome":"activated"'
before=$(hc ps --json | jq -r '.[] | select(.name != "m1") | .pid')
same "nothing happens without a change" "$(sleep 1; lines)" 1

machine_file two
check "a save is deployed" becomes two
same "and touches no other machine" "$(hc ps --json | jq -r '.[] | select(.name != "m1") | .pid')" "$before"
check "how long it took is told" said '"total_ms":[0-9]'

generation=$(readlink /var/lib/hc/current)
echo '{ env.VALUE = ' >"$WORK/cloud/value.nix"
check "a mistake is told, with its place" said 'value.nix:[0-9]'
same "and changes nothing" "$(readlink /var/lib/hc/current)" "$generation"
check "and does not end it" kill -0 "$watch"
echo '{ env.VALUE = "three"; }' >"$WORK/cloud/value.nix"
check "until it is mended" becomes three
count=$(lines)
printf '# a remark\n{ env.VALUE = "three"; }\n' >"$WORK/cloud/value.nix"
same "a remark deploys nothing" "$(sleep 1; lines)" "$count"

kill "$watch"
wait "$watch"
same "what runs goes on" "$(value)" three
same "with the same generation" "$(hc deploy "path:$WORK/cloud" --json | jq -r .outcome)" unchanged
finish
