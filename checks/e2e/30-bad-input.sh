# Bad input: each is refused with its own exit code and a message a person can act on, and what
# ran before still runs.
. "$(dirname "$0")/../lib/test.sh"

base() {
	cloud <<-NIX
		{ images, builder, ... }: {
		  cloud.name = "test";
		  hosts.one = {
		    networks.lan = { };
		    machines.good = { image = images.minimal; command = [ "/bin/hc" "guest" "init" ]; ready.when = "notify"; };
		    $1
		  };
		}
	NIX
}
minimal='image = images.minimal; command = [ "/bin/hc" "guest" "init" ]'

base ""
check "a good cloud" deploy
pid=$(machine good pid)

base 'machines.bad = { image = '
refuse 3 'cloud\.nix:[0-9]+' "syntax error: says where" deploy
base "machines.bad = { $minimal; imgae = 1; };"
refuse 3 "option .*machines\.bad\.imgae.* does not exist" "unknown option: says which" deploy
refuse 3 "cloud\.nix" "unknown option: says in which file" deploy
base "machines.bad = { $minimal; restart.delayMs = \"soon\"; };"
refuse 3 "restart\.delayMs" "wrong type: says which option" deploy
base "machines.bad = { $minimal; }; machines.bad = { $minimal; };"
refuse 3 "bad.* already defined" "a name defined twice" deploy
base "machines.Bad = { $minimal; };"
refuse 3 "Bad.*lower-case" "a name that is no name: says what is one" deploy
base "machines.bad = let x = x; in x;"
refuse 3 "infinite recursion" "infinite recursion" deploy
base "machines.bad = { $minimal; env.X = let f = n: 1 + f (n + 1); in toString (f 0); };"
refuse 3 "stack overflow|recursion|depth" "endless recursion: no crash" deploy
base "machines.bad = { $minimal; files.\"/x\".source = ./nowhere; };"
refuse 3 "nowhere.*(does not exist|no such file)" "missing file" deploy
base "machines.bad = { $minimal; networks = [ \"wan\" ]; };"
refuse 3 "wan" "a network that is not there" deploy
base "machines.bad = { $minimal; ready.when = \"tcp\"; };"
refuse 3 "ready\.port" "tcp readiness without a port" deploy
refuse 3 'nowhere' "no such flake" hc deploy "path:$WORK/nowhere"
refuse 3 'clouds\.(nope|.*nope)|nope' "no such cloud: lists what there is" hc deploy "path:$WORK/cloud#nope"

# Two names that hash to one IPv4 address on network lan of host one in cloud test.
colliding="m214 m2530"
base "machines.$(cut -d' ' -f1 <<<"$colliding") = { $minimal; }; machines.$(cut -d' ' -f2 <<<"$colliding") = { $minimal; };"
refuse 3 "both get the IPv4 address .* rename one" "address collision: names both" deploy

echo "some bytes" >"$WORK/payload"
right=$(sha256sum "$WORK/payload" | cut -d' ' -f1)
fetch() {
	echo "(derivation { name = \"$1\"; system = \"builtin\"; builder = \"builtin:fetchurl\"; url = \"file://$WORK/payload\"; outputHashMode = \"flat\"; outputHashAlgo = \"sha256\"; outputHash = \"$2\"; })"
}
base "machines.bad = { $minimal; files.\"/x\".source = $(fetch payload "${right//[0-9]/0}"); };"
refuse 4 "hash mismatch" "hash mismatch: says both hashes" deploy
base "machines.bad = { command = [ \"/bin/x\" ]; image = derivation { name = \"broken\"; system = \"x86_64-linux\"; builder = \"\${builder}\"; args = [ \"builder\" \"debian-rootfs\" ]; requiredSystemFeatures = [ \"uid-range\" ]; epoch = \"0\"; debs = \"\${$(fetch bad.deb "$right")}\"; }; };"
refuse 4 "bad\.deb" "an image that does not unpack: names the package" deploy

base "machines.bad = { image = images.minimal; command = [ \"/bin/nope\" ]; };"
refuse 6 "/bin/nope.*(does not exist|not found) in the image" "a command that is not in the image" deploy
same "a failed deploy went back" "$(machine bad name)" ""
base "machines.bad = { $minimal; user = \"nobody-knows\"; };"
refuse 6 "nobody-knows" "a user that is not in the image" deploy
base "machines.bad = { image = images.minimal; command = [ \"/bin/hc\" \"guest\" \"wait\" ]; ready = { when = \"notify\"; timeoutSec = 1; }; };"
refuse 6 "bad.*not ready" "a machine that is never ready: says which" deploy

# Two at once: the first waits for a machine that takes its time.
base "machines.slow = { image = images.minimal; command = [ \"/bin/hc\" \"guest\" \"wait\" ]; ready = { when = \"notify\"; timeoutSec = 5; }; };"
deploy >"$WORK/first" 2>&1 &
first=$!
for _ in $(seq 100); do [ -e /var/lib/hc/journal ] && break; sleep 0.05; done
refuse 7 "is activating" "two deploys at once: the second is told" deploy
wait $first
same "the first one ended in its own way" $? 6

base "machines.more = { $minimal; };"
refuse 8 "root" "not root" setpriv --reuid 65534 --regid 65534 --clear-groups "$HC" deploy "path:$WORK/cloud"
refuse 8 "nft" "a missing program: says which and how to get it" env PATH=/nowhere "$HC" doctor --strict
mkdir "$WORK/small" && mount -t tmpfs -o size=2m tmpfs "$WORK/small"
refuse 4 "no space left" "a full disk" hc --store "$WORK/small" build "path:$WORK/cloud"
umount "$WORK/small"

same "through all of this the good machine kept its process" "$(machine good pid)" "$pid"
same "and generation 1 is current" "$(readlink /var/lib/hc/current)" generations/1

finish
