# Where nothing that was read has changed, nothing is evaluated; and only there.
. "$(dirname "$0")/../lib/test.sh"
export XDG_CACHE_HOME="$WORK/cache"

mkdir -p "$WORK/cloud/more"
echo '"one"' >"$WORK/cloud/value.nix"
cloud <<-'NIX'
	{ images, ... }: {
	  cloud.name = "test";
	  hosts.one = {
	    networks.lan = { };
	    machines.m1 = {
	      image = images.minimal;
	      command = [ "/bin/hc" "guest" "init" ];
	      ready.when = "notify";
	      env.VALUE = builtins.trace "EVALUATED" (import ./value.nix);
	      env.MORE = toString (builtins.attrNames (builtins.readDir ./more));
	      env.THERE = if builtins.pathExists ./there then "yes" else "no";
	    };
	  };
	}
NIX
evaluates() { check "$1" deploy && says EVALUATED "  it is evaluated"; }
recalls() { check "$1" deploy && silent EVALUATED "  nothing is evaluated"; }

evaluates "the first time"
# The first deploy may write the lock file, and that is something else to read for the next one.
check "with the lock file" deploy
recalls "the same again"
recalls "and again"
NIX_CONFIG="eval-cache = false" evaluates "where nix.conf says eval-cache = false"
echo '"two"' >"$WORK/cloud/value.nix"
evaluates "a file that changed"
same "has its effect" "$(hc exec m1 -- /bin/hc guest env VALUE)" two
echo '"two"' >"$WORK/cloud/value.nix"
recalls "a file that was written, but not changed"
touch "$WORK/cloud/more/a"
evaluates "a directory that has another file"
touch "$WORK/cloud/there"
evaluates "a file that was not there"
recalls "the same again"

for entry in "$XDG_CACHE_HOME"/hc/evaluations/*; do sed -i 's/two/six/' "$entry"; done
evaluates "a result that somebody changed"
for entry in "$XDG_CACHE_HOME"/hc/evaluations/*; do : >"$entry"; done
evaluates "a result that was cut off"
for _ in 1 2 3 4 5 6; do deploy --wait >"$WORK/out.$_" 2>&1 & done
wait
recalls "after six at once"
same "has the right value" "$(hc exec m1 -- /bin/hc guest env VALUE)" two
finish
