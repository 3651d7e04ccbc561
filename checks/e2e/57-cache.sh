# Binary caches: written by hc, served over HTTP, taken instead of building, and shared with C++ Nix.
# own store
. "$(dirname "$0")/../lib/test.sh"

cd "$WORK"
mkdir -p busybox/bin conf
cp /bin/busybox busybox/bin/busybox
ln -s busybox busybox/bin/sh
cat >default.nix <<'NIX'
let sh = builtins.path { path = ./busybox; name = "busybox"; };
in derivation {
  name = "thing"; system = "x86_64-linux"; builder = "${sh}/bin/sh";
  args = [ "-ec" "echo ${sh} > $out; echo built >&2" ];
}
NIX
export NIX_CONF_DIR="$WORK/conf"

hc key generate cache-1 >secret
hc key generate cache-1 >other
same "its public half is the one Nix makes" "$(hc key public <secret)" \
	"$(nix --extra-experimental-features nix-command key convert-secret-to-public <secret)"
thing=$(hc build --file . --no-link --print-out-paths)
check "copy to a cache" hc copy --to "file://$WORK/cache" --key-file secret "$thing"
same "once" "$(hc copy --to "file://$WORK/cache" --json "$thing" | jq -c .copied)" "[]"
check "C++ Nix reads it" nix --extra-experimental-features nix-command copy --store "$WORK/nix" \
	--from "file://$WORK/cache" --option trusted-public-keys "$(hc key public <secret)" "$thing"

check "sign in the store" hc store sign --key-file secret --recursive "$thing"
check "C++ Nix finds all of it signed" nix --extra-experimental-features nix-command store verify \
	--option substituters "" --option trusted-public-keys "$(hc key public <secret)" -n 1 -r "$thing"
check "copy to another store" hc copy --to "$WORK/far" --no-check-sigs "$thing"
same "it is there" "$(hc copy --to "local?root=$WORK/far" --json "$thing" | jq -c .copied)" "[]"

(cd cache && exec python3 -u -m http.server --bind 127.0.0.1 0 >"$WORK/server" 2>/dev/null) &
server=$!
trap 'kill $server 2>/dev/null' EXIT
for _ in $(seq 100); do grep -q Serving server && break; sleep 0.1; done
url=$(sed -n 's/.*(\(http:[^)]*\)\/).*/\1/p' server)

# An empty store for each: what it wrote to standard error is in `log`.
take() {
	name=$1
	shift
	hc build --store "$WORK/$name" --file . --no-link --print-out-paths -L "$@" 2>log
}
conf() { printf 'substituters = %s\ntrusted-public-keys = %s\n' "$url" "$(hc key public <"$1")" >conf/nix.conf; }
conf secret
same "taken from the cache" "$(take one)" "$thing"
refuse 1 "" "not built" grep -q built log
same "or built, when that is asked for" "$(take two --no-substitutes)" "$thing"
check "built" grep -q built log
# Paths of the store that are not there.
drv=$(hc build --file . --no-link --json | jq -r '.[0].drvPath')
check "its derivation is copied to the cache" hc copy --to "file://$WORK/cache" --key-file secret "$drv"
away() { hc build --store "$WORK/$1" --no-link --print-out-paths "${@:2}"; }
same "a path comes from the cache" "$(away path "$thing")" "$thing"
same "a derivation, and its output" "$(away drv "$drv^out")" "$thing"
refuse 4 "is not in the store, and no binary cache gave it" "what no cache has is refused" \
	away none "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-none"
refuse 1 "only derivations .* have outputs" "a path has no outputs" away path "$thing^out"
refuse 1 "is a file, and no flake" "a file is not taken for a flake" hc build ./default.nix
refuse 1 "of what --file or --expr says" "an attribute of nothing" hc build -A thing
conf other
same "a wrong signature: built" "$(take three)" "$thing"
check "and said" grep -q "no signature" log
check "and built" grep -q built log
conf secret
nar=$(sed -n 's/^URL: //p' "cache/$(basename "$thing" | cut -d- -f1).narinfo")
truncate -s -3 "cache/$nar"
same "a truncated archive: built" "$(take four)" "$thing"
check "and said" grep -q "bytes" log
check "and built" grep -q built log

# Archives with windows: those of 32 MiB are unpacked in less than 64, larger ones are refused.
yes | head -c 40M >windowed
windowed=$(nix-store --store "$WORK/windows" --add "$WORK/windowed" 2>/dev/null)
hc copy --store "$WORK/windows" --to "file://$WORK/plain?compression=none" "$windowed" >/dev/null
record=$(ls plain/*.narinfo)
nar=plain/$(sed -n 's/^URL: //p' "$record")
# window NAME SUFFIX COMPRESSION COMMAND…: the same cache, packed by a command.
window() {
	local name=$1 suffix=$2 compression=$3
	shift 3
	mkdir -p "$name/nar"
	cp plain/nix-cache-info "$name/"
	"$@" <"$nar" >"$name/nar/it.nar.$suffix"
	sed -e "s,^URL:.*,URL: nar/it.nar.$suffix," -e "s,^Compression:.*,Compression: $compression," \
		-e '/^FileHash:/d; /^FileSize:/d' "$record" >"$name/$(basename "$record")"
}
window xz-good xz xz xz --lzma2=preset=0,dict=32MiB
window xz-bad xz xz xz --lzma2=preset=0,dict=64MiB
window zstd-good zst zstd zstd -q -1 --long=25
window zstd-bad zst zstd zstd -q -1 --long=26
for kind in xz zstd; do
	check "$kind: a window of 32 MiB" /usr/bin/time -f %M -o rss "$HC" copy --no-check-sigs --store "$WORK/windows-$kind" --from "file://$WORK/$kind-good" "$windowed"
	echo "# $kind: $(cat rss) KiB"
	check "$kind: in less than 64" test "$(cat rss)" -lt 65536
	refuse 1 "a lower level" "$kind: a larger one" hc copy --no-check-sigs --store "$WORK/windows-no" --from "file://$WORK/$kind-bad" "$windowed"
done
finish
