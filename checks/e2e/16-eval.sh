# Evaluation as a user meets it, and the same from C++ Nix where there is one.
. "$(dirname "$0")/../lib/test.sh"

cd "$WORK"
cat >default.nix <<'NIX'
{ name ? "world" }:
let d = n: derivation { name = n; system = "x86_64-linux"; builder = "/bin/sh"; outputs = [ "out" "dev" ]; }; in
{
  hello = d "hello-${name}";
  deep = { recurseForDerivations = true; one = d "one"; };
  list = [ (d "first") (d "second").dev ];
  text = "a ${name}";
}
NIX
mkdir -p flake/sub
cat >flake/flake.nix <<'NIX'
{
  outputs = _: {
    packages.x86_64-linux.default = { v = "default"; };
    legacyPackages.x86_64-linux.legacy."a.b" = 2;
    top = [ 1 { z = 5; } ];
  };
}
NIX

same "--expr" "$(hc eval --expr '{ a = [ 1 (throw "x") ]; }')" '{ a = [ 1 «error: x» ]; }'
same "--json" "$(hc eval --json --expr '{ a = 1.5; b = null; }')" '{"a":1.5,"b":null}'
same "--raw" "$(hc eval --raw --file . text --argstr name you)" "a you"
same "--apply" "$(hc eval --expr 20 --apply 'x: x + 1')" 21
same "an attribute path" "$(hc eval --expr '{ "a b" = [ 1 { c = 3; } ]; }' '"a b".1.c')" 3
same "--expr is pure" "$(hc eval --expr 'builtins ? currentTime')" false
same "--impure" "$(X=y hc eval --impure --expr 'builtins.getEnv "X"')" '"y"'
same "the search path" "$(hc eval --impure -I n="$WORK" --expr '(import <n> { }).text')" '"a world"'
same "the default package" "$(hc eval "path:$WORK/flake")" '{ v = "default"; }'
same "a package of another set" "$(hc eval "path:$WORK/flake#legacy.\"a.b\"")" 2
same "an output" "$(hc eval --json "path:$WORK/flake#.top")" '[1,{"z":5}]'
hc eval --write-to written --expr '{ a = "one"; b.c = "two"; }'
same "--write-to" "$(cat written/a written/b/c)" onetwo

status=0
hc eval --expr 'let abc = 1; in abd' 2>error || status=$?
same "an error has its exit code" "$status" 3
check "and a suggestion" grep -q "abc" error
status=0
hc eval --expr 'let f = x: f (x + 1); in f 0' --max-call-depth 50 2>error || status=$?
same "a limit is an error" "$status" 3
check "that names it" grep -q "max-call-depth" error

hc instantiate >drvs 2>warnings
same "derivations of default.nix" "$(wc -l <drvs)" 2
check "they are in the store" xargs ls <drvs
same "an output is named" "$(hc instantiate -A list | tail -1 | grep -o '!.*')" '!dev'
hc instantiate -A hello --add-root root --indirect >/dev/null
check "--add-root" test -L root
same "--parse" "$(hc instantiate --parse -E 'x: x + 1')" '(x: (x + 1))'

# repl LINE: what the repl says to it; errors are in the file `error`.
repl() { hc repl <<<"$1" 2>error; }
mkdir -p busybox/bin && cp /bin/busybox busybox/bin/sh
speaks='derivation { name = "speaks"; system = "x86_64-linux"; builder = "${builtins.path { path = ./busybox; name = "sh"; }}/bin/sh"; args = [ "-c" "echo spoken; echo > $out" ]; }'
repl ":log ${speaks/speaks/silent}" >said
check ":log of what was not built is an error" grep -q "there is no log of /nix/store/.*-silent.drv" error
repl ":bl $speaks" >said
check ":bl names its link" grep -Eq '^  \./repl-result-out -> /nix/store/.*-speaks$' said
check "that leads to the output" test -f repl-result-out
check "and keeps it" grep -q "$WORK/repl-result-out" <<<"$(readlink /nix/var/nix/gcroots/auto/*)"
same ":log" "$(repl ":log $speaks")" spoken
rm repl-result-out && echo mine >repl-result-out
repl ":bl $speaks" >said
check ":bl replaces no file" grep -q "is in the way" error
same "that stays" "$(cat repl-result-out)" mine
for command in i sh u; do
	repl ":$command $speaks" >said
	check ":$command says what to do instead" grep -q "nix-env -i\|nix-shell" error
done

cp -r flake settings
sed -i 's/^{$/{ nixConfig.bash-prompt = "x";/; q' settings/flake.nix
echo ' outputs = _: { top = 1; }; }' >>settings/flake.nix
same "settings of a flake have no effect" "$(hc eval "path:$WORK/settings#top" 2>error)" 1
same "and that is said once" "$(grep -c "nixConfig has no effect here: bash-prompt" error)" 1

later='(derivation { name = "x"; system = "x86_64-linux"; builder = "/bin/sh"; __contentAddressed = true; }).outPath'
status=0
hc eval --expr "$later" 2>error || status=$?
same "an experimental feature is off" "$status" 3
check "and its error says what turns it on" grep -q "'--extra-experimental-features ca-derivations'" error
for how in "--extra-experimental-features ca-derivations" "--option extra-experimental-features ca-derivations"; do
	# shellcheck disable=SC2086 # several words
	check "on with $how" grep -q '^"/' <<<"$(hc eval $how --expr "$later")"
done
has='builtins ? outputOf'
mkdir -p conf/nix searched
echo 5 >searched/five.nix
echo "nix-path = here=$PWD/searched" >conf/nix/nix.conf
same "the search path of nix.conf" "$(unset NIX_PATH; XDG_CONFIG_HOME="$PWD/conf" hc eval --impure --expr "import <here/five.nix>")" 5
same "NIX_PATH counts more" "$(XDG_CONFIG_HOME="$PWD/conf" NIX_PATH=here=/nowhere hc eval --impure --expr "(builtins.tryEval <here/five.nix>).success")" false
same "restricted, below a relative path" "$(hc instantiate --eval --restrict-eval -I src=. searched/five.nix)" 5
refuse 3 "forbidden in restricted mode" "and not elsewhere" hc instantiate --eval --restrict-eval -I src=conf searched/five.nix
refuse 3 "aborting to reveal stack trace" "warnings can be errors" hc instantiate --eval --option abort-on-warn true -E 'builtins.warn "old" 1'
refuse 3 "URL literals are disallowed" "literals can be refused" hc eval --lint-url-literals fatal --expr http://a.example
refuse 3 "error: red word" "colours of messages stay out of files" hc eval --expr 'throw (builtins.fromJSON "\"\\u001b[31mred\\u001b[0m word\"")'
echo "experimental-features = flakes dynamic-derivations" >conf/nix/nix.conf
same "features of nix.conf" "$(XDG_CONFIG_HOME="$WORK/conf" hc eval --expr "$has")" true
same "--experimental-features are all" \
	"$(XDG_CONFIG_HOME="$WORK/conf" hc eval --experimental-features flakes --expr "$has" 2>error)" false
same "features of \$NIX_CONFIG" "$(NIX_CONFIG="extra-experimental-features = dynamic-derivations" hc eval --expr "$has")" true
hc eval --extra-experimental-features bogus --expr 1 >/dev/null 2>error
same "one that nobody knows" "$(cat error)" "warning: unknown experimental feature 'bogus'"
mkdir featured
cat >featured/flake.nix <<'NIX'
{
  outputs = _: {
    ${if builtins ? outputOf then "on" else "off"} = 1;
    clouds.c = _: throw (if builtins ? outputOf then "it is on" else "it is off");
  };
}
NIX
for how in "" "--extra-experimental-features dynamic-derivations" "--experimental-features dynamic-derivations"; do
	wanted=$([ -n "$how" ] && echo on || echo off)
	# shellcheck disable=SC2086 # several words
	same "hc flake show $how" "$(hc flake show --json $how "path:$WORK/featured" | jq -r 'keys[]' | grep -x 'on\|off')" "$wanted"
	# shellcheck disable=SC2086
	hc build $how "path:$WORK/featured#c" >/dev/null 2>error || true
	check "a cloud, $how" grep -q "it is $wanted" error
done

# Settings: arguments of every verb that evaluates, over $NIX_CONFIG and nix.conf.
mkdir -p "$WORK/conf" "$WORK/seen/deep"
echo text >"$WORK/seen/deep/file"
echo "restrict-eval = true" >"$WORK/conf/nix.conf"
reads="builtins.readFile $WORK/seen/deep/file"
export NIX_CONF_DIR="$WORK/conf"
refuse 3 "forbidden in restricted mode" "nix.conf restricts evaluation" hc eval --impure --expr "$reads"
same "the command line counts over it" "$(hc eval --impure --raw --no-restrict-eval --expr "$reads")" text
same "and so does --option" "$(hc eval --impure --raw --option restrict-eval false --expr "$reads")" text
same "the search path may be read" "$(hc eval --impure --raw -I "x=$WORK/seen" --expr "$reads")" text
same "of what is above it, the way there" "$(hc eval --impure --json -I "x=$WORK/seen" --expr "builtins.readDir $WORK")" '{"seen":"directory"}'
unset NIX_CONF_DIR
same "--extra-nix-path" "$(NIX_PATH=a=$WORK/seen hc instantiate --extra-nix-path "b=$WORK/conf" --find-file a b | tr '\n' ' ')" "$WORK/seen $WORK/conf "
same "--nix-path" "$(NIX_PATH=a=$WORK/conf hc instantiate --nix-path "a=$WORK/seen" --find-file a)" "$WORK/seen"
hc eval --option bogus 1 --expr 1 >/dev/null 2>error
same "a setting that nobody knows" "$(cat error)" "warning: unknown setting 'bogus'"
hc eval --option sandbox false --expr 1 >/dev/null 2>error
same "one that is of no concern" "$(cat error)" "warning: the setting 'sandbox' of Nix has no effect here"
refuse 2 "not compatible" "a file is not pure" hc eval --pure-eval --file default.nix

hc eval -v --impure --expr "import $WORK/default.nix" >/dev/null 2>error || true
check "-v says which files are evaluated" grep -qx "evaluating file '$WORK/default.nix'" error

# What is printed can be opened.
same "a source that --raw names" "$(cat "$(hc eval --impure --raw --expr "\"\${$WORK/seen}\"")/deep/file")" text
drv=$(hc eval --json --expr '(derivation { name = "named"; system = "s"; builder = "b"; }).drvPath' | jq -r .)
check "a derivation that --json names" test -f "$drv"
drv=$(hc eval --read-only --raw --expr '(derivation { name = "unwritten"; system = "s"; builder = "b"; }).drvPath')
check "--read-only writes nothing" test ! -e "$drv"
same "--json leaves paths as they are" "$(hc eval --impure --json --expr "$WORK/seen")" "\"$WORK/seen\""
same "--pretty" "$(hc eval --json --pretty --expr '{ a = [ ]; b.c = 1; }' | tr '\n' ' ')" '{   "a": [],   "b": {     "c": 1   } } '

if command -v nix-instantiate >/dev/null; then
	for arguments in "" "-A list" "-A hello --argstr name you" "--eval -A text" "--eval --strict --json -A text" \
		"--eval --strict -A deep" "--eval --strict --xml --no-location -A deep"; do
		# shellcheck disable=SC2086 # several words
		same "as C++ Nix: $arguments" "$(hc instantiate default.nix $arguments 2>/dev/null)" \
			"$(nix-instantiate default.nix $arguments 2>/dev/null)"
	done
fi
same "settings of builds are arguments wherever something may be built" "$(hc eval --max-jobs 2 --build-cores 1 --expr 1)" 1
finish
