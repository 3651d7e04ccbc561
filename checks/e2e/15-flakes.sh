# Flakes and fetchers as a person uses them, with git repositories and archives of this test's own.
. "$(dirname "$0")/../lib/test.sh"

export XDG_CACHE_HOME="$WORK/cache" XDG_CONFIG_HOME="$WORK/config"
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
# Not below the repository: a directory in a git tree is part of that tree.
here=/run/flakes
mkdir -p "$here/lib" "$here/top" "$here/plain/dir"
cd "$here" || exit 1

echo '{ description = "numbers"; outputs = { self }: { one = 1; rev = self.rev or "none"; }; }' >lib/flake.nix
git -C lib init -q -b main
git -C lib add .
git -C lib commit -qm one
echo text >plain/dir/file
tar czf plain.tar.gz plain
cat >top/flake.nix <<-NIX
	{
	  inputs.lib.url = "git+file://$here/lib";
	  inputs.plain = { url = "file://$here/plain.tar.gz"; flake = false; };
	  outputs = { self, lib, plain }: {
	    two = lib.one + 1;
	    text = builtins.readFile (plain + "/dir/file");
	    libRev = lib.rev;
	    packages.x86_64-linux.default = derivation { name = "p"; system = "x86_64-linux"; builder = "/b"; };
	    overlays.default = final: prev: { };
	  };
	}
NIX

check "lock writes the lock file" hc flake lock ./top
check "it names the commit" grep -q "$(git -C lib rev-parse HEAD)" top/flake.lock
same "the outputs are there" "$(hc eval ./top#two)" 2
same "an archive is an input" "$(hc eval --raw ./top#text)" text
same "metadata knows the inputs" "$(hc flake metadata --json ./top | jq -r '.locks.nodes.root.inputs | keys | join(" ")')" "lib plain"
same "show knows the outputs" "$(hc flake show --json ./top | jq -r '.packages["x86_64-linux"].default.name')" p
check "check finds nothing wrong" hc flake check --no-build ./top

cp top/flake.lock before
echo '{ outputs = { self }: { one = 10; rev = self.rev; }; }' >lib/flake.nix
git -C lib commit -qam two
same "what is locked stays" "$(hc eval ./top#two)" 2
check "update of another input changes nothing" hc flake update --flake ./top plain
check "the lock file is as it was" cmp before top/flake.lock
check "update" hc flake update --flake ./top lib
says "Updated input 'lib'" "it says what is new"
same "the new commit counts" "$(hc eval ./top#two)" 11
same "an input can be overridden" "$(hc flake metadata --json ./top --override-input lib path:"$here/lib" 2>/dev/null | jq -r .locks.nodes.lib.locked.type)" path
cp top/flake.lock before
check "looking does not write that down" cmp before top/flake.lock
check "update does" hc flake update --flake ./top lib --override-input lib path:"$here/lib"
same "it is in the lock file" "$(jq -r .nodes.lib.locked.type top/flake.lock)" path
echo '# changed' >>lib/flake.nix
refuse 3 "because it has an unlocked input" "what git has no commit of is not locked" \
	hc flake lock ./top --override-input lib "git+file://$here/lib"
git -C lib checkout -q .
check "the commit is taken again" hc flake update --flake ./top lib
check "flakes may see the environment" hc flake check --no-build --impure ./top

sed -i 's/overlays.default = final: prev/overlays.default = a: b/' top/flake.nix
refuse 3 "overlays\.default.*" "check says which output is wrong" hc flake check --no-build ./top
refuse 3 "cannot find flake|unable to download|flake-registry" "a name nobody knows" hc eval nowhere-to-be-found#x
mkdir -p "$XDG_CONFIG_HOME/nix"
printf '{"version":2,"flakes":[{"from":{"type":"indirect","id":"numbers"},"to":{"type":"git","url":"file://%s/lib"}}]}' "$here" \
	>"$XDG_CONFIG_HOME/nix/registry.json"
same "a name of the user's registry" "$(hc eval numbers#one)" 10

same "fetchGit" "$(hc eval --impure --expr "(builtins.fetchGit $here/lib).revCount")" 2
same "fetchTarball" "$(hc eval --raw --impure --expr "builtins.readFile ((builtins.fetchTarball file://$here/plain.tar.gz) + \"/dir/file\")")" text
refuse 3 "hash mismatch" "a wrong hash" hc eval --impure --expr \
	"builtins.fetchurl { url = \"file://$here/plain.tar.gz\"; sha256 = \"\"; }"
finish
