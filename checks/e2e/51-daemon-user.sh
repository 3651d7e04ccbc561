# An ordinary user on a host where a Nix daemon writes the store: hc goes through it by itself.
# own store
. "$(dirname "$0")/../lib/test.sh"

cd "$WORK"
chmod 755 "$WORK"
mkdir -p busybox/bin conf home mine /run/sshd
cp /bin/busybox busybox/bin/busybox
ln -s busybox busybox/bin/sh
touch busybox/left-out
chown nobody home mine
cat >default.nix <<'NIX'
let
  sh = builtins.path {
    path = ./busybox; name = "busybox"; filter = path: type: baseNameOf path != "left-out";
  };
  text = builtins.toFile "text" "${sh}";
  run = name: script: derivation {
    inherit name; system = "x86_64-linux"; builder = "${sh}/bin/sh"; args = [ "-ec" script ];
  };
  flat = builtins.path { path = ./busybox/left-out; name = "flat"; recursive = false; };
in rec {
  made = run "made" "echo '\"${text} ${flat}\"' > $out; echo built >&2";
  # Evaluation has to read what it builds.
  thing = run ("thing-" + baseNameOf (builtins.substring 0 10 (import made))) "echo ${made} > $out";
  two = run "two" "echo ${thing} > $out";
  bad = run "bad" "echo why >&2; exit 7";
}
NIX
export NIX_CONF_DIR="$WORK/conf"
conf() { printf '%s\n' 'build-users-group =' 'substitute = false' 'experimental-features = nix-command' "$@" >conf/nix.conf; }
conf
install -m 755 "$HC" hc
hc() { "$WORK/hc" "$@"; }
# As a user who may do nothing to the store.
user() { setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME="$WORK/home" PATH="$WORK:$PATH" "$@"; }
whole() { nix-store --verify --check-contents 2>&1 | { ! grep -E 'error|modified|disappeared'; }; }
rm -rf --one-file-system /nix/store /nix/var
nix-store --init
check "/nix is root's" test "$(stat -c %U /nix/var/nix)" = root

refuse 8 "no Nix daemon listens at /nix/var/nix/daemon-socket/socket" "nobody to ask" user hc build --file default.nix made
says "start nix-daemon" "what to do is said"
check "what needs no store, works" user hc eval --expr '1 + 1'
check "a store of one's own" user hc store ping --store "$WORK/mine/own"

start() {
	nix-daemon >>"$WORK/daemon.log" 2>&1 &
	daemon=$!
	for _ in $(seq 100); do [ -S /nix/var/nix/daemon-socket/socket ] && return; sleep 0.1; done
}
start
check "the daemon answers" user hc store ping
says "version 2.8.0" "and is who it is"
check "root goes directly" hc store ping
silent "version" "and asks no daemon"
check "unless it says so" hc store ping --store daemon
says "version 2.8.0" "and is told of it"
same "NIX_REMOTE" "$(NIX_REMOTE=daemon hc store ping --json | jq -r .version)" 2.8.0
refuse 8 "ssh-ng://far: NIX_REMOTE says so" "another host by NIX_REMOTE" env NIX_REMOTE=ssh-ng://far "$WORK/hc" store ping
refuse 1 "not a store of this host" "another host by --store" hc store ping --store ssh-ng://far
refuse 8 "needs the store itself" "what no daemon does" hc gc --store daemon

# Evaluating, with import from derivation, and writing derivations.
check "import from derivation" user hc eval --impure --file default.nix thing.name
drv=$(user hc instantiate default.nix -A two 2>err)
same "instantiate" "$(nix-instantiate default.nix -A two 2>/dev/null)" "$drv"
check "the derivation is valid" nix-store --query --hash "$drv"
same "its inputs are" "$(nix-store --query --requisites "$drv" | wc -l)" 6

# Building.
cd mine
check "plan" user hc build --file ../default.nix two --dry-run
says "2 would be built" "what would be built"
same "built" "$(user hc build --file ../default.nix two -L --print-out-paths 2>../err)" "$(nix-build --no-out-link ../default.nix -A two)"
check "the link keeps it" grep -q "$WORK/mine/result -> " <(nix-store --gc --print-roots)
two=$(readlink result)
check "the collector leaves it" nix-store --gc
check "it is there" test -e "$two"
refuse 4 "exit code 7" "a build that fails" user hc build --no-link --file ../default.nix bad
check "built again" user hc build --rebuild --no-link --file ../default.nix made
same "the log of a build" "$(user hc log --file ../default.nix made)" built
same "nothing is to be built" "$(user hc build --dry-run --json --file ../default.nix two | jq -c .builds)" "[]"
refuse 4 "timed out" "the time that a build has" user hc build --no-link --timeout 1 --impure --expr \
	'derivation { name = "slow"; system = "x86_64-linux"; builder = (import ../default.nix).two.builder; args = [ "-c" "while :; do :; done" ]; }'
mkdir flake
cat >flake/flake.nix <<'NIX'
{ outputs = _: { packages.x86_64-linux.default = (import ./package.nix); }; }
NIX
cp ../default.nix flake/all.nix
cp -r ../busybox flake/
echo '(import ./all.nix).two' >flake/package.nix
check "a flake" user hc build --no-link path:flake

# Looking.
check "info" user hc store info --recursive --json "$two"
same "ls" "$(user hc store ls -R "$(dirname "$(dirname "$(nix-store --query --binding builder "$drv")")")")" "$(printf './bin\n./bin/busybox\n./bin/sh')"
same "cat" "$(user hc store cat "$two")" "$(cat "$two")"
check "verify" user hc store verify
check "why" user hc store why "$two"
says "result" "the link is why"
check "roots" user hc store roots
check "optimise" user hc store optimise

# Copies.
check "to a cache" user hc copy --to "file://$WORK/mine/cache" "$two"
closure=$(nix-store --query --requisites "$two")
nix-store --delete --ignore-liveness $(nix-store --query --referrers-closure "$two") >/dev/null
check "it is gone" test ! -e "$two"
refuse 1 "signature" "without a signature" user hc copy --from "file://$WORK/mine/cache" "$two"
refuse 1 "signature" "nor by asking for it" user hc copy --no-check-sigs --from "file://$WORK/mine/cache" "$two"
cd "$WORK"
user hc key generate ours >secret
chmod 644 secret
conf "trusted-public-keys = $(hc key public <secret)"
restart() {
	kill "$daemon"
	wait "$daemon" 2>/dev/null
	rm -f /nix/var/nix/daemon-socket/socket
	start
}
restart
made=$(nix-build --no-out-link default.nix -A made 2>/dev/null)
check "to a cache, signed" user hc copy --key-file secret --to "file://$WORK/mine/signed" "$made"
nix-store --delete --ignore-liveness $(nix-store --query --referrers-closure "$made") >/dev/null 2>&1
check "from it" user hc copy --from "file://$WORK/mine/signed" "$made"
check "it is there" nix-store --query --hash "$made"
hc store sign --key-file secret --recursive "$made" >/dev/null
refuse 1 "trust|signature" "a stranger signs nothing" user hc store sign --key-file secret "$(user hc build --no-link --print-out-paths --file default.nix two)"
user hc store export "$made" >export
check "an export is that of Nix" cmp export <(nix-store --export "$made")
nix-store --delete --ignore-liveness $(nix-store --query --referrers-closure "$made") >/dev/null 2>&1
refuse 1 "signature" "an import of a stranger" user hc store import <export

python3 -m http.server --directory mine --bind 127.0.0.1 8081 >http.log 2>&1 &
for _ in $(seq 100); do curl -s http://127.0.0.1:8081 >/dev/null && break; sleep 0.1; done
# What evaluation copies out of a cache, under a name that follows from what it holds.
fetch="builtins.fetchClosure { fromStore = \"http://127.0.0.1:8081/signed\"; fromPath = $made; toPath ="
features="--impure --extra-experimental-features fetch-closure"
refuse 3 "yielded" "a path that is not known yet" user hc eval $features --expr "$fetch \"\"; }"
moved=$(sed -n "s/.*yielded '\([^']*\)'.*/\1/p" out)
check "one that is" user hc eval $features --raw --expr "$fetch \"$moved\"; }"
check "it is valid" nix-store --query --hash "$moved"
check "all is whole" whole

# Who is trusted, may more.
conf "trusted-users = nobody"
restart
check "an import" user hc store import <export
check "a copy without signatures" user hc copy --no-check-sigs --from "file://$WORK/mine/cache" "$two"
check "a signature" user hc store sign --key-file secret "$two"
same "it is there" "$(hc store info --json "$two" | jq -r '.[0].signatures[0]' | cut -d: -f1)" ours

# Served to others, over ssh.
for key in host key; do ssh-keygen -q -t ed25519 -N '' -f "$key"; done
install -o nobody -m 600 key home/key
cat >sshd.conf <<END
Port 2203
ListenAddress 127.0.0.1
HostKey $WORK/host
AuthorizedKeysFile $WORK/key.pub
StrictModes no
UsePAM no
PidFile none
SetEnv NIX_CONF_DIR=$NIX_CONF_DIR
END
/usr/sbin/sshd -D -e -f sshd.conf >sshd.log 2>&1 &
for _ in $(seq 100); do grep -q listening sshd.log && break; sleep 0.1; done
wrapped="$WORK/as-user"
cat >as-user <<END
#!/bin/sh
exec setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME=$WORK/home $WORK/hc "\$@"
END
chmod 755 as-user
export NIX_SSHOPTS="-o StrictHostKeyChecking=no -o UserKnownHostsFile=$WORK/known -o LogLevel=ERROR -p 2203 -i $WORK/key"
nix-store --delete --ignore-liveness "$two" >/dev/null 2>&1
for scheme in ssh ssh-ng; do
	far="$scheme://root@127.0.0.1?remote-program=$wrapped%20store%20serve"
	check "$scheme: hc asks" hc --store "$WORK/other-$scheme" copy --no-check-sigs --from "$far" "$made"
	check "$scheme: C++ Nix asks" nix copy --no-check-sigs --store "$WORK/nix-$scheme" --from "$far" "$made"
	check "$scheme: hc sends" hc --store "$WORK/built-$scheme" build --no-link --file default.nix two --on "$far"
	check "$scheme: it was built here" nix-store --query --hash "$two"
	nix-store --delete --ignore-liveness "$two" >/dev/null 2>&1
done
check "all is whole" whole

# Newer daemons, whose stores are elsewhere.
cat >peer <<END
#!/bin/sh
# peer NAME COMMAND…: runs a command of that release, which sees this directory as /mnt.
root=/opt/peers/\$1
shift
exec unshare --mount sh -ec 'mount --rbind "\$1" "\$1"; mount --bind "\$2" "\$1/mnt"; mount -t proc proc "\$1/proc"
	mount --rbind /dev "\$1/dev"; cd "\$1"; pivot_root . srv; cd /; shift 2; exec "\$@"' sh "\$root" "$WORK" \
	env NIX_CONF_DIR=/mnt/conf HOME=/nonexistent "\$@"
END
chmod +x peer
conf "sandbox = true"
for name in trixie sid; do
	if [ ! -e "/opt/peers/$name" ]; then
		echo "SKIPPED: /opt/peers/$name is not installed"
		continue
	fi
	./peer $name nix-store --store "/mnt/$name" --init
	./peer $name env NIX_DAEMON_SOCKET_PATH="/mnt/$name.socket" nix-daemon --store "/mnt/$name" >"$name.log" 2>&1 &
	for _ in $(seq 100); do [ -S "$name.socket" ] && break; sleep 0.1; done
	store="unix://$WORK/$name.socket?root=$WORK/$name"
	check "$name: it answers" user hc store ping --store "$store"
	says "version 2[.](26|34)" "$name: and is who it is"
	same "$name: built" "$(user hc build --store "$store" --no-link --print-out-paths --file default.nix two)" "$two"
	check "$name: plan" user hc build --store "$store" --dry-run --file default.nix bad
	says "1 would be built" "$name: what would be built"
	refuse 4 "exit code 7" "$name: a build that fails" user hc build --store "$store" --no-link --file default.nix bad
	check "$name: info" user hc store info --store "$store" --recursive "$two"
	check "$name: verify" user hc store verify --store "$store"
	check "$name: roots" user hc store roots --store "$store"
done
kill $(jobs -p) 2>/dev/null
finish
