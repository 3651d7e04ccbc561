# hc hosts as remote builders and remote stores of C++ Nix, over a real ssh.
# own store
. "$(dirname "$0")/../lib/test.sh"

cd "$WORK"
chmod 755 "$WORK"
mkdir -p busybox/bin conf path /run/sshd
cp /bin/busybox busybox/bin/busybox
ln -s busybox busybox/bin/sh
cat >default.nix <<'NIX'
let
  sh = builtins.path { path = ./busybox; name = "busybox"; };
  run = name: more: script: derivation ({
    inherit name; system = "x86_64-linux"; builder = "${sh}/bin/sh"; args = [ "-ec" script ];
    odd = "a\"b\\c\nd\te";
  } // more);
in rec {
  one = run "one" { outputs = [ "out" "dev" ]; } "echo \"$odd\" > $out; echo $out > $dev; echo building one >&2";
  two = run "two" { } "echo ${one} ${one.dev} > $out";
  fixed = run "fixed" {
    outputHash = "sha256-uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="; outputHashMode = "flat";
  } "printf 'hello world' > $out";
  bad = run "bad" { } "echo why >&2; exit 7";
  floating = run "floating" { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; } "echo ${two} > $out";
  after = run "after" { __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; } "echo ${floating} > $out";
}
NIX
export NIX_CONF_DIR="$WORK/conf"
printf '%s\n' 'build-users-group =' 'substitute = false' 'experimental-features = nix-command ca-derivations' \
	'sandbox = true' >conf/nix.conf
install -m 755 "$HC" hc
hc() { "$WORK/hc" "$@"; }
for key in host user; do ssh-keygen -q -t ed25519 -N '' -f "$key"; done
cp user.pub authorized
cat >sshd.conf <<END
Port 2204
ListenAddress 127.0.0.1
HostKey $WORK/host
AuthorizedKeysFile $WORK/authorized
StrictModes no
UsePAM no
PidFile none
SetEnv NIX_CONF_DIR=$NIX_CONF_DIR
END
/usr/sbin/sshd -D -e -f sshd.conf >sshd.log 2>&1 &
for _ in $(seq 100); do grep -qs listening sshd.log && break; sleep 0.1; done
cat >ssh_config <<END
StrictHostKeyChecking accept-new
UserKnownHostsFile $WORK/known
IdentityFile $WORK/user
LogLevel ERROR
Host far
	HostName 127.0.0.1
	Port 2204
END
export NIX_SSHOPTS="-F $WORK/ssh_config"
# One program of one word: a machine's address holds no spaces.
serve() {
	printf '#!/bin/sh\nexec env NIX_CONF_DIR=%s/conf %s/hc --store %s/%s store serve "$@"\n' "$2" "$2" "$2" "$1" >"serve-$1"
	chmod 755 "serve-$1"
}
whole() { nix-store --store "$1" --verify --check-contents 2>&1 | { ! grep -E 'error|modified|disappeared'; }; }

number=0
# builder TITLE SCHEME NIX…: C++ Nix has its build hook build on hc.
builder() {
	local title=$1 scheme=$2 host=$3 seen=$4
	shift 4
	number=$((number + 1))
	serve "far$number" "$seen"
	local on="$scheme://$host?remote-program=$seen/serve-far$number"
	local here="$seen/here$number"
	local build=("$@" nix-build --store "$here" -j0 --no-out-link --builders "$on x86_64-linux - 1 1 big-parallel,ca-derivations" "$seen/default.nix")
	check "$title: a build with an input" timeout 120 "${build[@]}" -A two
	says "building one" "$title: its log is heard"
	local two
	two=$(grep '^/nix/store/.*-two$' out)
	check "$title: it was built there" nix-store --store "$WORK/far$number" --query --hash "$two"
	check "$title: the outputs are there" test "$(cat "here$number$two" | wc -w)" = 2
	check "$title: a fixed output" timeout 120 "${build[@]}" -A fixed
	refuse 1 "exit code 7" "$title: a build that fails" timeout 120 "${build[@]}" -A bad
	check "$title: an output whose path follows" timeout 120 "${build[@]}" -A after
	check "$title: it is whole" whole "$WORK/far$number"
	check "$title: what came is whole" whole "$WORK/here$number"
}
builder "ssh-ng" ssh-ng far "$WORK"
builder "ssh" ssh far "$WORK"

# Its store as that of C++ Nix.
serve store "$WORK"
far="ssh-ng://far?remote-program=$WORK/serve-store"
check "nix build --store ssh-ng" timeout 120 nix build --impure --store "$far" --eval-store auto --no-link --file default.nix two
check "it is there" nix-store --store "$WORK/store" --query --hash "$(nix-instantiate --eval default.nix -A two.outPath | tr -d '"')"
check "nix path-info" nix path-info --store "$far" --recursive "$(nix-instantiate --eval default.nix -A two.outPath | tr -d '"')"
one=$(nix-instantiate --eval default.nix -A one.outPath | tr -d '"')
two=$(nix-instantiate --eval default.nix -A two.outPath | tr -d '"')
check "nix store delete" timeout 60 nix store delete --store "$far" "$two"
refuse 1 "" "it is gone" nix-store --store "$WORK/store" --query --hash "$two"
check "nix-store --delete takes what refers to it, too" timeout 60 nix-store --store "$far" --delete "$one"
ln -s "$(nix-store --store "$WORK/store" --realise "$(nix-instantiate --store "$WORK/store" default.nix -A fixed 2>/dev/null)" 2>/dev/null)" store/nix/var/nix/gcroots/kept
refuse 1 "still alive" "what is kept" timeout 60 nix-store --store "$far" --delete "$(readlink store/nix/var/nix/gcroots/kept)"
check "it is whole" whole "$WORK/store"
hc build --store "$WORK/own" --file default.nix --no-link two >/dev/null 2>&1
check "hc store delete" hc --store "$WORK/own" store delete "$two"
says "deleted 1 store path" "it says so"
refuse 1 "is not in the store|not valid" "it is gone" hc --store "$WORK/own" store ls "$two"

# With what binary caches have: a client that may use the builder's.
hc build --store "$WORK/own" --file default.nix --no-link two >/dev/null 2>&1
hc key generate cache-1 >secret
hc --store "$WORK/own" copy --key-file secret --to "file://$WORK/cache" "$two" >/dev/null
mkdir substituting
cp conf/nix.conf substituting/
printf 'substitute = true\nsubstituters = file://%s/cache\ntrusted-public-keys = %s\n' "$WORK" "$(hc key public <secret)" >>substituting/nix.conf
serve caching "$WORK"
sed -i "s,NIX_CONF_DIR=$WORK/conf,NIX_CONF_DIR=$WORK/substituting," serve-caching
far="ssh-ng://far?remote-program=$WORK/serve-caching"
check "a builder that takes inputs from its own caches" timeout 120 nix-build --store "$WORK/here-caching" -j0 --no-out-link \
	--option builders-use-substitutes true --builders "$far x86_64-linux" default.nix -A two
check "it is whole" whole "$WORK/caching"

# What outputs came to goes with them.
floating=$(hc build --store "$WORK/own" --extra-experimental-features ca-derivations --file default.nix --no-link --print-out-paths after)
serve mirror "$WORK"
far="ssh-ng://far?remote-program=$WORK/serve-mirror"
check "hc sends paths in one go" hc --store "$WORK/own" copy --no-check-sigs --to "$far" "$floating"
realised() { test "$(sqlite3 -cmd '.timeout 9000' "$1/nix/var/nix/db/db.sqlite" 'select count(*) from Realisations' 2>&1)" -ge 2; }
check "what outputs came to is there" realised mirror
check "it is whole" whole "$WORK/mirror"
mkdir nixmirror
check "to C++ Nix" hc --store "$WORK/own" copy --no-check-sigs --to "ssh-ng://far?remote-store=$WORK/nixmirror" "$floating"
check "what outputs came to is there" realised nixmirror
check "it is whole" whole "$WORK/nixmirror"
hc --store "$WORK/own" store export -r "$(hc instantiate --store "$WORK/own" --extra-experimental-features ca-derivations default.nix -A after 2>/dev/null)" | hc --store "$WORK/mirror" store import >/dev/null
check "and back" hc --store "$WORK/again" copy --from "$far" --no-check-sigs "$floating"
check "it is whole" whole "$WORK/again"

# Newer releases, which call what is on localhost without ssh.
cat >peer <<END
#!/bin/sh
# peer NAME COMMAND…: runs a command of that release, which sees this directory as /mnt.
root=/opt/peers/\$1
shift
exec unshare --mount sh -ec 'mount --rbind "\$1" "\$1"; mount --bind "\$2" "\$1/mnt"; mount -t proc proc "\$1/proc"
	mount --rbind /dev "\$1/dev"; mount --rbind /sys "\$1/sys"; cd "\$1"; pivot_root . srv; cd /; shift 2; exec "\$@"' sh "\$root" "$WORK" \
	env NIX_CONF_DIR=/mnt/conf HOME=/nonexistent "\$@"
END
chmod +x peer
for name in trixie sid; do
	if [ ! -e "/opt/peers/$name" ]; then
		echo "SKIPPED: /opt/peers/$name is not installed"
		continue
	fi
	for scheme in ssh-ng ssh; do
		builder "$name, $scheme" $scheme localhost /mnt ./peer $name
	done
done
kill $(jobs -p) 2>/dev/null
finish
