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
for _ in $(seq 100); do grep -q listening sshd.log && break; sleep 0.1; done
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
	local two
	two=$(grep '^/nix/store/.*-two$' out)
	check "$title: it was built there" nix-store --store "$WORK/far$number" --query --hash "$two"
	says "building one|copying" "$title: its log is heard"
	check "$title: the outputs are there" test "$(cat "here$number$two" | wc -w)" = 2
	check "$title: a fixed output" timeout 120 "${build[@]}" -A fixed
	refuse 100 "why|exit code 7" "$title: a build that fails" timeout 120 "${build[@]}" -A bad
	check "$title: an output whose path follows" timeout 120 "${build[@]}" -A after
	check "$title: it is whole" whole "$WORK/far$number"
	check "$title: what came is whole" whole "$WORK/here$number"
}
builder "ssh-ng" ssh-ng far "$WORK"
builder "ssh" ssh far "$WORK"
finish
