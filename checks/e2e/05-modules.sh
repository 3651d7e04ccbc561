# The module system's table of cases, the same files under hc's evaluator and under C++ Nix.
. "$(dirname "$0")/../lib/test.sh"

check "hc's evaluator" "$top/checks/modules/run" "$HC" eval --impure --json --expr
check "C++ Nix" "$top/checks/modules/run"
# Where there is a copy of nixpkgs' lib: the same values under that.
if [ -n "${NIXPKGS_LIB:-}" ]; then
	check "nixpkgs' lib" "$top/checks/modules/run" --lib "$NIXPKGS_LIB"
	check "nixpkgs' lib in hc's evaluator" "$top/checks/modules/run" --lib "$NIXPKGS_LIB" "$HC" eval --json --expr
fi

# Module sets by the number: the same values, priorities and errors.
random="import $top/checks/modules/random.nix"
hc eval --impure --json --expr "$random { count = 300; }" | jq -S . >"$WORK/hc.json"
nix-instantiate --eval --strict --json --expr "$random { count = 300; }" | jq -S . >"$WORK/nix.json"
check "three hundred random module sets are the same under both" cmp "$WORK/hc.json" "$WORK/nix.json"
if [ -n "${NIXPKGS_LIB:-}" ]; then
	nix-instantiate --eval --strict --json \
		--expr "$random { count = 300; lib = import $NIXPKGS_LIB; }" | jq -S . >"$WORK/nix.json"
	check "and under nixpkgs' lib" cmp "$WORK/hc.json" "$WORK/nix.json"
fi

hc eval --raw --file "$top/modules/documentation.nix" >"$WORK/options.md"
check "docs/options.md is what the modules say (make docs)" cmp "$WORK/options.md" "$top/docs/options.md"

# One cloud, both evaluators: the same JSON, derivation paths included.
builder=/nix/store/00000000000000000000000000000000-hc-builder
apply="f: f { builder = \"$builder\"; }"
expression="($apply) (((import $top/hosts/many/flake.nix).outputs { hc.lib = import $top/modules { }; }).clouds.many)"
hc eval --impure --json --expr "$expression" | jq -S . >"$WORK/hc.json"
nix-instantiate --eval --strict --json --expr "$expression" | jq -S . >"$WORK/nix.json"
check "twenty machines are the same under both" cmp "$WORK/hc.json" "$WORK/nix.json"
same "and they are twenty" "$(jq '.hosts[].machines | length' "$WORK/hc.json")" 20
hc eval --impure --json --expr "(import $top/images/debian.nix { builder = \"$builder\"; }).drvPath" | jq -S . >"$WORK/hc.json"
nix-instantiate --eval --json --expr "(import $top/images/debian.nix { builder = \"$builder\"; }).drvPath" | jq -S . >"$WORK/nix.json"
check "the Debian image is the same derivation under both" cmp "$WORK/hc.json" "$WORK/nix.json"
finish
