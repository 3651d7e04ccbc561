# Derivations as a person builds them, and the same by C++ Nix.
# own store
. "$(dirname "$0")/../lib/test.sh"

cd "$WORK"
mkdir -p busybox/bin flake
cp /bin/busybox busybox/bin/busybox
for applet in sh cat env id stat ls sort hostname mkdir touch sleep ip grep sed tty umask; do
	ln -s busybox "busybox/bin/$applet"
done
cat >default.nix <<'NIX'
{ salt ? "" }:
let
  sh = builtins.path { path = ./busybox; name = "busybox"; };
  d = name: script: more: derivation ({
    inherit name salt; system = "x86_64-linux"; builder = "${sh}/bin/sh"; PATH = "${sh}/bin";
    args = [ "-ec" script ];
  } // more);
in rec {
  hello = d "hello" "echo building >&2; echo hello > $out" { };
  two = d "two" "echo out > $out; echo dev > $dev" { outputs = [ "out" "dev" ]; };
  uses = d "uses" "cat ${hello} ${two.dev} > $out" { };
  names = d "names" "mkdir $out; echo $out ${hello} > $out/all; echo none > $out/none" { };
  bad = d "bad" "echo one; echo two >&2; echo left > file; exit 3" { };
  after = d "after" "cat ${bad} > $out" { };
  inner = d "inner" "echo from the inner one > $out" { };
  maker = d "inner.drv" "cat ${builtins.unsafeDiscardOutputDependency inner.drvPath} > $out"
    { __contentAddressed = true; outputHashMode = "text"; outputHashAlgo = "sha256"; };
  reader = d "reader" "cat ${builtins.outputOf maker.outPath "out"} > $out" { };
  deep = d "inner.drv.drv" "cat ${builtins.unsafeDiscardOutputDependency maker.drvPath} > $out"
    { __contentAddressed = true; outputHashMode = "text"; outputHashAlgo = "sha256"; };
  alone = builtins.outputOf maker.outPath "out";
  deeper = builtins.outputOf (builtins.outputOf deep.outPath "out") "out";
  floating = d "floating" "echo 5 > $out"
    { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; };
  random = d "random" "cat /proc/sys/kernel/random/uuid > $out" { };
  long = d "long" "echo started; sleep 1000" { };
  # What both sandboxes show a builder.
  audit = d "audit" ''
    {
      env | grep -v '^out=' | sort; id -u; id -g; pwd; umask; hostname; cat /proc/sys/kernel/domainname
      cat /etc/passwd /etc/group /etc/hosts; ls /; ls /etc; ls /dev; stat -c %a /tmp /build /dev/shm /nix/store
      readlink /proc/self/fd/0; ls /proc/$$/fd; grep 'core file' /proc/$$/limits; cat /proc/$$/personality
      ip -o link | wc -l; ip addr show lo | grep -c 127.0.0.1
      grep -E '^(Uid|Gid|Groups|NSpid|NSsid|CapEff):' /proc/$$/status; echo pid $$; ls -A /build
    } > $out 2>/dev/null || true
    test -t 2 && echo terminal >> $out
  '' { passAsFile = [ "text" ]; text = "in a file"; };
  # Nix 2.8 names the files wrongly; they are where they belong.
  structured = d "structured" ''
    export PATH=${sh}/bin; out=$(sed 's/.*"outputs":{"out":"\([^"]*\)".*/\1/' /build/.attrs.json)
    cat /build/.attrs.json /build/.attrs.sh > $out; env | grep -v ^NIX_ATTRS | sort >> $out
  '' { __structuredAttrs = true; list = [ "a b" 1 true null ]; set.x = "y'z"; set.n = 5; float = 1.5; deep.a.b = [ 1 ]; };
  graph = d "graph" "cat closure > $out" { exportReferencesGraph = [ "closure" uses ]; };
}
NIX
cat >flake/flake.nix <<'NIX'
{ outputs = _: { packages.x86_64-linux = { default = (import ./default.nix { }).hello; two = (import ./default.nix { }).two; }; }; }
NIX
cp -a busybox default.nix flake/

check "build an attribute" hc build --file . -A uses
same "it is linked to" "$(cat result)" "hello
dev"
check "the link keeps it" test -n "$(find /nix/var/nix/gcroots/auto -lname "$WORK/result")"
same "print the paths" "$(hc build --file . hello --no-link --print-out-paths | sed 's/.*-//')" hello
same "outputs by name" "$(hc build --file . 'two^out,dev' --no-link --print-out-paths | sed 's/^[^-]*-//' | tr '\n' ' ')" "two two-dev "
check "several links" hc build --file . -A two -A hello -o many
check "are numbered" test -e many -a -e many-1
same "JSON" "$(hc build --file . -A two --no-link --json | jq -r '.[0].outputs | keys | join(" ")')" out
drv=$(hc build --file . -A two --no-link --json | jq -r '.[0].drvPath')
same "a .drv file" "$(hc build "$drv^*" --no-link --print-out-paths | wc -l)" 2
same "an expression" "$(hc build --impure -E '(import ./. { }).hello' --no-link --print-out-paths | sed 's/.*-//')" hello
same "a flake" "$(hc build "path:$WORK/flake" --no-link --print-out-paths | sed 's/.*-//')" hello
same "an attribute of it" "$(hc build "path:$WORK/flake#two^dev" --no-link --print-out-paths | sed 's/.*-//')" dev
same "what would be built" "$(hc build --file . -A uses --argstr salt new --dry-run --json | jq '.builds | length')" 3
dynamic=(--extra-experimental-features 'ca-derivations dynamic-derivations')
same "what a derivation that a build makes comes to" \
	"$(cat "$(hc build --file . -A reader "${dynamic[@]}" --no-link --print-out-paths)")" "from the inner one"
same "alone, too" "$(cat "$(hc build --file . -A alone "${dynamic[@]}" --no-link --print-out-paths)")" \
	"from the inner one"
same "through two that builds make" \
	"$(hc build --file . -A deeper "${dynamic[@]}" --no-link --json | jq -r '.[0] | [.drvPath.drvPath.output, .drvPath.output, .outputs.out[44:]] | join(" ")')" \
	"out out inner"
drv=$(hc build --file . -A deep "${dynamic[@]}" --no-link --json | jq -r '.[0].drvPath')
same "by the path of the first" "$(hc build "$drv^out^out^*" --no-link --print-out-paths)" \
	"$(hc build --file . -A deeper "${dynamic[@]}" --no-link --print-out-paths)"
same "import from it" "$(hc eval --impure -E 'builtins.readFile (import ./. { }).deeper' "${dynamic[@]}" --raw)" \
	"from the inner one"
same "import from what is addressed by its content" \
	"$(hc eval --impure -E 'import (import ./. { }).floating' "${dynamic[@]}")" 5
# As in C++ Nix 2.34: of what the output refers to, what is named in the file.
same "what is read from an output depends on what it names" \
	"$(hc eval --impure --json -E 'map (name: builtins.attrNames (builtins.getContext (builtins.readFile "${(import ./. { }).names}/${name}")))
		[ "all" "none" ]' | jq -c 'map(map(.[44:]) | sort)')" '[["hello","names"],[]]'
refuse 3 "allow-import-from-derivation.*disabled" "neither without import from derivation" \
	hc eval --impure -E 'builtins.readFile (import ./. { }).alone' "${dynamic[@]}" --option allow-import-from-derivation false
check "a build is checked" hc build --file . -A hello --rebuild --no-link
check "random ones are built" hc build --file . -A random --no-link
status=0
hc build --file . -A random --rebuild --no-link 2>error || status=$?
same "one that differs is an error of builds" "$status" 4
check "and says so" grep -q "may not be deterministic" error

status=0
hc build --file . -A after --no-link --keep-failed 2>error || status=$?
same "a failed build has its code" "$status" 4
check "its last lines are shown" grep -q "> two" error
kept=$(sed -n 's/.*is kept in //p' error)
same "its directory is kept" "$(cat "$kept/file")" left
bad=$(hc instantiate default.nix -A bad 2>/dev/null)
same "hc log" "$(hc log "$bad")" "one
two"
same "by attribute" "$(hc log --file . hello)" building
check "logs on demand" bash -c '"$HC" build --file . -A hello --argstr salt l --no-link -L 2>&1 | grep -q "hello> building"'
hc build --file . -A bad -A hello --argstr salt k --keep-going --no-link 2>/dev/null
check "keep-going builds the rest" test -e "$(hc build --file . -A hello --argstr salt k --no-link --print-out-paths)"
"$HC" build --file . -A long --no-link -L 2>error &
pid=$!
for _ in $(seq 300); do grep -q started error && break; sleep 0.1; done
kill -INT "$pid"
status=0
wait "$pid" || status=$?
same "Ctrl-C ends a build" "$status" 4
check "with all it started" bash -c '! pgrep -f "sleep [1]000"'
check "and nothing is left" bash -c '! ls /nix/store | grep -q chroot'
same "time-outs" "$(hc build --file . -A long --timeout 0.5 --no-link 2>&1 | grep -c 'longer than 0.5 s')" 1

peer() {
	NIX_CONF_DIR=$WORK/conf nix-build --store "$WORK/peer" --no-out-link --option sandbox true \
		--option build-users-group "" --option filter-syscalls false "$@" 2>peer.log
}
if command -v nix-build >/dev/null; then
	for what in audit structured graph; do
		theirs=$(peer . -A "$what")
		ours=$(hc build --file . -A "$what" --no-link --print-out-paths)
		same "the same path: $what" "$ours" "$theirs"
		same "the same contents: $what" "$(cat "$ours")" "$(cat "$WORK/peer$theirs")"
	done
	export NIX_CONF_DIR=$WORK/conf
	mkdir -p "$WORK/conf" && echo "experimental-features = nix-command" >"$WORK/conf/nix.conf"
	same "nix log reads our logs" "$(nix log "$bad" 2>/dev/null)" "one
two"
	check "C++ Nix finds the store in order" nix-store --verify --check-contents
fi
finish
