# Stores and caches on a disk that is too small, and processes that may open too few files: a clear
# error, nothing half-way, the room given back, and all is well once there is more.
# own store
. "$(dirname "$0")/../lib/test.sh"

cd "$WORK"
mkdir -p busybox/bin conf small bin
ln -s "$HC" bin/hc
export PATH="$WORK/bin:$PATH"
cp /bin/busybox busybox/bin/busybox
ln -s busybox busybox/bin/sh
cat >default.nix <<'NIX'
let
  sh = builtins.path { path = ./busybox; name = "busybox"; };
  run = name: script: derivation {
    inherit name; system = "x86_64-linux"; builder = "${sh}/bin/sh"; args = [ "-ec" script ];
  };
  head = "${sh}/bin/busybox head -c";
in rec {
  little = builtins.genList (n: run "little-${toString n}" "echo ${toString n} > $out") 20;
  large = run "large" "${head} 30000000 /dev/urandom > $out";
  all = run "all" "echo ${large} ${toString little} > $out";
  # It is checked that the output comes out the same, so that it can be substituted.
  zeros = run "zeros" "${head} 30000000 /dev/zero > $out; echo x >> $out";
  source = builtins.path { path = ./source; name = "source"; };
}
NIX
head -c 30000000 /dev/urandom >source
export NIX_CONF_DIR="$WORK/conf" HOME="$WORK/home" XDG_CACHE_HOME="$WORK/answers" TMPDIR="$WORK"
printf '%s\n' 'build-users-group =' 'require-sigs = false' >conf/nix.conf
all=$(hc build --store "$WORK/here" --file . --no-link --print-out-paths all)
hc --store "$WORK/here" store export -r "$all" >export
hc --store "$WORK/here" copy --to "file://$WORK/cache?compression=none" "$all" >/dev/null
large=$(tr ' ' '\n' <"here$all" | head -1)

# A disk of 90 MB with 60 MB on it that can go; the store's database is made.
disk() {
	umount small 2>/dev/null
	rm -f disk.img
	truncate -s 90M disk.img
	mkfs.ext4 -q -m 0 disk.img
	mount -o loop disk.img small
	head -c 60000000 /dev/zero >small/filler
}
trap 'umount small 2>/dev/null' EXIT
used() { df --output=used -k small | tail -1; }
whole() { nix-store --store "$1" --verify --check-contents 2>&1 | { ! grep -E 'error|modified|disappeared'; }; }
# Only what is valid, and nothing that somebody was about to make.
clean() {
	local left
	left=$(find small/nix/store small/nix/var/nix/hc-scratch -mindepth 1 -maxdepth 1 -not -name .links -printf '%f\n' | sort)
	same "$1: nothing is left half-way" "$left" \
		"$(nix-store --store "$WORK/small" --query --valid-derivers /nonexistent 2>/dev/null; sqlite3 -cmd '.timeout 5000' small/nix/var/nix/db/db.sqlite 'select substr(path, 12) from ValidPaths' | sort)"
}
# full TITLE CODE COMMAND…: it does not fit, and later it does.
full() {
	local title=$1 code=$2 before
	shift 2
	before=$(used)
	refuse "$code" "no space left" "$title: the disk is full" timeout 100 "$@"
	says "free some|hc gc|more room" "$title: what to do is said"
	check "$title: the room is given back" test "$(used)" -le $((before + 2048))
	check "$title: it is whole" whole "$WORK/small"
	clean "$title"
	rm small/filler
	check "$title: with more room it works" timeout 100 "$@"
	check "$title: it is whole" whole "$WORK/small"
}
prepare() {
	disk
	hc store verify --store "$WORK/small" >/dev/null
}
prepare
full "copy" 1 hc --store "$WORK/small" copy --from "file://$WORK/cache" "$all"
check "it came" cmp "here$large" "small$large"
prepare
full "copy from another store" 1 hc --store "$WORK/small" copy --from "$WORK/here" "$all"
prepare
full "import" 1 sh -c "hc --store $WORK/small store import <$WORK/export"
prepare
full "substitution" 4 hc build --store "$WORK/small" --no-link --file . all --substituters "file://$WORK/cache"
check "nothing was built" cmp "here$large" "small$large"
prepare
full "a build" 4 hc build --store "$WORK/small" --no-link --file . zeros
prepare
full "a source" 4 hc build --store "$WORK/small" --no-link --impure --expr \
	'derivation { name = "x"; system = "x86_64-linux"; builder = (import ./. ).large.builder; args = [ "-c" "echo ${(import ./.).source} > $out" ]; }'
prepare
# What is fetched is kept beside the store, and unpacked there.
tar -cf source.tar source
fetched() { XDG_CACHE_HOME="$WORK/small/home" HOME="$WORK/small/home" "$HC" --store "$WORK/small" eval --impure --raw \
	--expr "builtins.readFileType \"\${builtins.fetchTarball \"file://$WORK/source.tar\"}\""; }
before=$(used)
refuse 3 "no space left" "an archive that is fetched: the disk is full" fetched
check "an archive that is fetched: the room is given back" test "$(used)" -le $((before + 2048))
rm small/filler
same "an archive that is fetched: with more room it works" "$(fetched)" directory
prepare
full "a copy to another store" 1 hc --store "$WORK/here" copy --no-check-sigs --to "$WORK/small" "$all"

# A cache on such a disk.
disk
before=$(used)
refuse 1 "no space left" "a cache: the disk is full" hc --store "$WORK/here" copy --to "file://$WORK/small/cache?compression=none" "$all"
check "a cache: nothing is left half-way" test "$(find small/cache/nar -type f -size +1M | wc -l)" = 0
check "a cache: the room is given back" test "$(used)" -le $((before + 2048))
rm small/filler
check "a cache: with more room it works" hc --store "$WORK/here" copy --to "file://$WORK/small/cache?compression=none" "$all"
check "a cache: all of it" hc --store "$WORK/from-cache" copy --from "file://$WORK/small/cache" "$all"
umount small

# As few files as there may be, from too few on: it works or says what it lacks.
worked=0 failed_well=0 bad=""
for limit in $(seq 6 6 90) 120 200 300; do
	rm -rf --one-file-system few answers
	if (ulimit -n "$limit" && exec "$HC" --store "$WORK/few" copy --from "file://$WORK/cache" "$all") >out 2>&1; then
		worked=$((worked + 1))
	elif grep -Eqi 'too many open files|no file descriptors|unable to open database|loading shared libraries' out; then
		failed_well=$((failed_well + 1))
	else
		bad="$bad $limit"
	fi
	[ ! -e few/nix/var/nix/db/db.sqlite ] || whole "$WORK/few" >/dev/null || bad="$bad $limit(damaged)"
done
: >out
same "with few files it works or says so ($worked, $failed_well)" "$bad" ""
check "some worked" test "$worked" -gt 0
check "some did not" test "$failed_well" -gt 0
rm -rf --one-file-system few
refuse 1 "ulimit -n" "what to do is said" bash -c "ulimit -n 30; exec $HC --store $WORK/few copy --from file://$WORK/cache $all"
check "and with more it works" hc --store "$WORK/few" copy --from "file://$WORK/cache" "$all"
check "it is whole" whole "$WORK/few"
finish
