# `builtins.fetchClosure` out of a cache on nginx: signed, rewritten, and refused; C++ Nix rewrites to
# the same path.
# own store
. "$(dirname "$0")/../lib/test.sh"

cd "$WORK"
mkdir -p busybox/bin conf www
cp /bin/busybox busybox/bin/busybox
ln -s busybox busybox/bin/sh
cat >default.nix <<'NIX'
let
  sh = builtins.path { path = ./busybox; name = "busybox"; };
  d = name: script: derivation {
    inherit name; system = "x86_64-linux"; builder = "${sh}/bin/sh"; PATH = "${sh}/bin"; args = [ "-ec" script ];
  };
  lib = d "lib" "/${sh}/bin/busybox mkdir $out; echo $out > $out/self; echo lib > $out/lib";
in {
  app = d "app" "/${sh}/bin/busybox mkdir $out; echo ${lib} > $out/uses; echo $out > $out/self";
  sh = sh;
}
NIX
export NIX_CONF_DIR="$WORK/conf" HOME="$WORK/home" XDG_CACHE_HOME="$WORK/cache"
hc key generate cache-1 >secret
app=$(hc build --file . app --no-link --print-out-paths)
sh=$(hc build --file . sh --no-link --print-out-paths 2>/dev/null || nix-store --query --references "$(nix-store --query --deriver "$app")" | grep busybox)
check "a cache with a closure" hc copy --to "file://$WORK/www" --key-file secret "$app" "$sh"
cat >nginx.conf <<CONF
user root;
pid $WORK/nginx.pid;
error_log $WORK/nginx.error;
events {}
http {
	access_log $WORK/access;
	server { listen 127.0.0.1:8080; root $WORK/www; }
}
CONF
trap 'kill $(cat nginx.pid 2>/dev/null) 2>/dev/null' EXIT
nginx -c "$WORK/nginx.conf" -e "$WORK/nginx.error"

empty() { rm -rf --one-file-system "$WORK/store"; }
# fetch ATTRIBUTES [ARGUMENTS…]: evaluates a call in the empty store.
fetch() {
	local attributes=$1
	shift
	hc eval --store "$WORK/store" --extra-experimental-features fetch-closure --raw "$@" \
		--expr "builtins.fetchClosure { fromStore = \"http://127.0.0.1:8080\"; $attributes }"
}
trust() { echo "trusted-public-keys = $(hc key public <secret)" >conf/nix.conf; }

refuse 3 "fetchClosure" "without the feature" hc eval --expr 'builtins.fetchClosure { }'
refuse 3 "no signature" "a path that nobody trusted has signed" fetch "fromPath = $app; inputAddressed = true;"
trust
refuse 3 "inputAddressed" "a path that does not follow from its contents has to be meant" fetch "fromPath = $app;"
empty
same "signed, it is taken" "$(fetch "fromPath = $app; inputAddressed = true;" 2>out)" "$app"
check "with what it refers to" test -e "$WORK/store$(cat "$app/uses")/lib"
check "C++ Nix finds that store in order" nix-store --store "$WORK/store" --verify --check-contents
refuse 3 "inputAddressed" "one that follows from its contents is not input-addressed" fetch "fromPath = $sh; inputAddressed = true;"
: >conf/nix.conf
empty
same "such a one needs no signature" "$(fetch "fromPath = $sh;" 2>out)" "$sh"

# Rewritten: the path is not known before.
refuse 3 "yielded '/nix/store/.*-app'.*toPath" "without a path to compare with" fetch "fromPath = $app; toPath = \"\";"
made=$(sed -n "s/.*yielded '\([^']*\)'.*/\1/p" out | head -1)
empty
same "with it, it is rewritten" "$(fetch "fromPath = $app; toPath = $made;" 2>out)" "$made"
same "and knows itself by its new name" "$(cat "$WORK/store$made/self")" "$made"
check "and its library by the new one" test -e "$WORK/store$(cat "$WORK/store$made/uses")/lib"
check "C++ Nix finds that store in order" nix-store --store "$WORK/store" --verify --check-contents
requests=$(wc -l <access)
same "what is there is not asked for again" "$(fetch "fromPath = $app; toPath = $made;") $(wc -l <access)" "$made $requests"
refuse 3 "was expected" "another path than expected" fetch "fromPath = $app; toPath = $app;"
same "C++ Nix rewrites to the same" "$(nix --extra-experimental-features 'nix-command fetch-closure' --store "$WORK/nix" eval --impure --raw \
	--expr "builtins.fetchClosure { fromStore = \"http://127.0.0.1:8080\"; fromPath = $app; toPath = $made; }" 2>out)" "$made"

for wrong in "fromStore = \"http://x\";" "fromPath = $app; fromStore = \"file:///tmp\";" \
	"fromPath = $app; more = 1;" "fromPath = $app; inputAddressed = true; toPath = $app;" \
	"fromPath = $app; fromStore = \"http://x?a=b\";" "fromPath = /etc/passwd; fromStore = \"http://x\";"; do
	refuse 3 "fetchClosure|inputAddressed|not in the Nix store" "refused: $wrong" \
		hc eval --extra-experimental-features fetch-closure --impure --expr "builtins.fetchClosure { $wrong }"
done
kill "$(cat nginx.pid)"
empty
refuse 3 "127.0.0.1:8080" "a cache that does not answer is named" fetch "fromPath = $sh;"
finish
