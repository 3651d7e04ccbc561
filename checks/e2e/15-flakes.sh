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

mkdir checked
cat >checked/flake.nix <<'NIX'
{
  outputs = { self }: {
    checks.x86_64-linux = builtins.mapAttrs (name: script: derivation {
      inherit name;
      system = "x86_64-linux";
      builder = "/bin/sh";
      args = [ "-c" script ];
    }) { good = ": >$out"; bad = "exit 1"; worse = "exit 2"; };
  };
}
NIX
builds() { hc flake check --sandbox-path /bin/sh=/bin/busybox "$@" "path:$PWD/checked"; }
refuse 4 "not built: .*x86_64-linux.bad" "check builds" builds
refuse 4 "not built: checks.x86_64-linux.bad, checks.x86_64-linux.worse" "all of it, as is said" builds --keep-going
sed -i 's/bad = .*;  *}/}/;s/exit [12]/: >$out/' checked/flake.nix
check "and finds nothing wrong then" builds

same "a store that keeps nothing is enough to evaluate" \
	"$(hc eval --store dummy:// --raw --expr 'builtins.toFile "kept" "nowhere"')" /nix/store/0fdax6b2xdgw8xpwza4g1i0g5zd2xjwx-kept
refuse 1 "" "nothing is written" test -e /nix/store/*-kept
refuse 8 "dummy://: it keeps nothing" "nor built" hc build --store dummy:// --expr 'derivation { name = "x"; system = "x86_64-linux"; builder = "/x"; }'

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

# What git does not track, and what it is called.
mkdir tracked
git -C tracked init -q -b main
echo '{ outputs = _: { name = baseNameOf ./.; z = builtins.readFile ./file; }; }' >tracked/flake.nix
refuse 3 "Path 'flake.nix' in the repository \"$here/tracked\" is not tracked by Git" "a flake that git does not track" hc eval ./tracked#z
git -C tracked add flake.nix
refuse 3 "Path 'file' does not exist in Git repository" "a file that is not there" hc eval ./tracked#z
echo text >tracked/file
refuse 3 "Path 'file' in the repository" "a file that git does not track" hc eval ./tracked#z
says "git -C $here/tracked add file" "it says what helps"
git -C tracked add file
same "it is there then" "$(hc eval --raw ./tracked#z)" text
check "its source has the name it has in the store" grep -Eqx '[a-z0-9]{32}-source' <(hc eval --raw ./tracked#name)

# Names for one run, and whose lock file is written.
printf '{"version":2,"flakes":[{"from":{"type":"indirect","id":"mine"},"to":{"type":"git","url":"file://%s/app"}}]}' "$here" >registry.json
mkdir app
git -C app init -q -b main
echo '{ inputs.lib.url = "git+file://'"$here"'/lib"; outputs = { self, lib }: { ten = lib.one; }; }' >app/flake.nix
git -C app add flake.nix
refuse 3 "cannot write modified lock file of flake 'flake:mine'" "what a registry leads to stays as it is" \
	hc eval --flake-registry "$here/registry.json" mine#ten
same "it can be looked at" "$(hc eval --no-write-lock-file --flake-registry "$here/registry.json" mine#ten 2>/dev/null)" 10
check "the lock file is committed, as is said" hc flake lock ./app --commit-lock-file --commit-lock-file-summary "inputs: lock"
same "with those words" "$(git -C app log -1 --format=%s)" "inputs: lock"
same "names of another flake's inputs" "$(hc eval --inputs-from ./app lib#one)" 10
echo '# changed' >>lib/flake.nix
check "a lock without a revision" hc flake lock ./app --override-input lib "git+file://$here/lib" --allow-dirty-locks
hc eval ./app#ten >/dev/null 2>error
check "is warned about" grep -q "Lock file entry .* is unlocked" error
refuse 3 "zero-length input path" "no input is named" hc flake lock ./app --override-input "" "git+file://$here/lib"
finish
