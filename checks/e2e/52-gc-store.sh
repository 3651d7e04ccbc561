# What `hc gc` takes and leaves with each of its options, and what `hc store` tells about it;
# C++ Nix agrees.
# own store
. "$(dirname "$0")/../lib/test.sh"

cd "$WORK"
mkdir -p busybox/bin
cp /bin/busybox busybox/bin/busybox
ln -s busybox busybox/bin/sh
cat >default.nix <<'NIX'
let
  sh = builtins.path { path = ./busybox; name = "busybox"; };
  d = name: script: derivation {
    inherit name; system = "x86_64-linux"; builder = "${sh}/bin/sh"; PATH = "${sh}/bin"; args = [ "-ec" script ];
  };
in rec {
  tool = d "tool" "echo tool > $out";
  lib = d "lib" "echo lib > $out";
  app = d "app" "/${sh}/bin/busybox cat ${tool} >/dev/null; echo ${lib} > $out";
}
NIX
verify() { nix-store --verify --check-contents >"$WORK/out" 2>&1 && ! grep -Eqi 'error|missing|modified|disappeared' "$WORK/out"; }
valid() { nix-store --check-validity "$1" 2>/dev/null; }
gone() { ! valid "$1" && [ ! -e "$1" ]; }
dead() { nix-store --gc --print-dead 2>/dev/null | sort; }
attr() { hc build --print-out-paths --out-link "$WORK/result-$1" --file default.nix "$1"; }

check "a store without machines is emptied" hc gc --keep 0
check "build" attr app
app=$(readlink result-app)
drv=$(nix-store --query --deriver "$app")
lib=$(nix-store --query --references "$app" | grep -- '-lib$')
tool=$(nix-store --query --requisites --include-outputs "$drv" | grep -- '-tool$')
same "the app refers to the lib alone" "$(nix-store --query --references "$app")" "$lib"

# What is kept, and by what.
check "roots" hc store roots
says "$WORK/result-app -> $app" "names the link and the path"
same "as JSON" "$(hc store roots --json | jq -r --arg p "$app" '.[] | select(.path == $p) | .root')" "$WORK/result-app"
same "hc gc --print-roots says the same" "$(hc gc --print-roots --json)" "$(hc store roots --json)"
check "why" hc store why "$lib"
says "$WORK/result-app" "names the root"
same "and the way to the path" "$(hc store why --json "$lib" | jq -r '.[0].chain | join(" ")')" "$app $lib"
check "why a tool that only the build needed" hc store why "$tool"
says 'nothing keeps' "nothing keeps it"
refuse 1 'is not in the store' "a file elsewhere" hc store why /etc/passwd

# A dry run takes nothing, and says what a run takes; C++ Nix calls the same dead.
check "a dry run" hc gc --dry-run --json
cp out dry
same "is one" "$(jq .dryRun dry)" true
check "and took nothing" valid "$tool"
same "what it would take is what C++ Nix calls dead" "$(jq -r '.paths[]' dry | sort)" "$(dead)"
check "collect" hc gc --json
same "takes what was said" "$(jq -r '.paths[]' out | sort)" "$(jq -r '.paths[]' dry | sort)"
check "the tool is gone" gone "$tool"
check "the app is there" valid "$app"
check "so is its derivation" valid "$drv"
check "C++ Nix finds the store in order" verify

# What keeps what, besides references.
check "build again" attr app
check "the outputs of derivations that stay" hc gc --keep-outputs
check "stay" bash -c "hc() { '$HC' \"\$@\"; }; hc build --file default.nix tool --no-link && [ -e $tool ]"
check "without derivations" hc gc --keep-derivations false
check "the derivation is gone" gone "$drv"
check "the app is there" valid "$app"
check "its lib, too" valid "$lib"
echo 'keep-outputs = true' >nix.conf
check "build once more" bash -c '"$HC" build --no-link --file default.nix tool && "$HC" build --no-link --file default.nix app'
check "keep-outputs of nix.conf" env NIX_CONF_DIR="$WORK" "$HC" gc
check "is followed" valid "$tool"

# No more than asked for.
rm result-app
check "without its link" hc gc
check "the app goes" gone "$app"
for n in 1 2 3 4 5 6; do head -c 200000 /dev/urandom >"big-$n"; nix-store --add "big-$n" >/dev/null; done
check "with a limit" hc gc --max 300K --json
same "it stops soon after" "$(jq '.bytes >= 307200 and .bytes < 900000' out)" true
check "some are left" bash -c '[ "$(ls -d /nix/store/*-big-? | wc -l)" -ge 1 ]'
refuse 2 'a size is a number' "a limit that is none" hc gc --max much
refuse 2 'an age is a number' "an age that is none" hc gc --older-than yesterday
check "the rest" hc gc
check "is gone" bash -c '! ls -d /nix/store/*-big-? 2>/dev/null'

# Rubbish, a root whose link is gone, and what a process has open.
touch /nix/store/rubbish
mkdir /nix/store/00000000000000000000000000000000-left
open=$(nix-store --add big-1)
exec 7<"$open"
check "collect" hc gc
check "rubbish goes" bash -c '[ ! -e /nix/store/rubbish ] && [ ! -e /nix/store/00000000000000000000000000000000-left ]'
check "what a process has open stays" valid "$open"
check "why" hc store why "$open"
says '/proc/[0-9]+/fd/7' "names the process"
exec 7<&-
check "collect" hc gc
check "closed, it goes" gone "$open"

# Equal files once.
mkdir twins
cp big-1 twins/a
cp big-1 twins/b
twins=$(nix-store --add twins)
check "optimise" hc store optimise --json
same "links what is equal" "$(jq '.linked >= 1 and .bytes >= 200000' out)" true
same "as one file" "$(stat -c %i "$twins/a")" "$(stat -c %i "$twins/b")"
check "optimise again" hc store optimise
says 'linked 0 files' "has nothing to do"
check "C++ Nix finds the store in order" verify

# Generations by number and by age.
describe() {
	cloud <<-NIX
		{ images, ... }: {
		  cloud.name = "test";
		  hosts.one.networks.lan = { };
		  hosts.one.machines.m = { image = images.minimal; command = [ "/bin/hc" "guest" "init" ]; env.VALUE = "$1"; };
		}
	NIX
}
numbers() { hc generations --json | jq -c '[.[].number] | sort'; }
for i in 1 2 3 4 5; do describe "$i" && deploy >out 2>&1 || not_ok "deploy $i"; done
check "keep one besides current and previous" hc gc --keep 1
same "three are left" "$(numbers)" '[3,4,5]'
check "those older than an hour" hc gc --older-than 1h
same "none is" "$(numbers)" '[3,4,5]'
check "a dry run" hc gc --older-than 0s --dry-run --json
same "says which would go" "$(jq -c .generations out)" '[3]'
same "and leaves them" "$(numbers)" '[3,4,5]'
check "those older than now" hc gc --older-than 0s
same "current and previous stay" "$(numbers)" '[4,5]'
check "and can be rolled back to" hc rollback
check "which runs" bash -c '"$HC" exec m -- /bin/hc guest env VALUE | grep -qx 4'
check "C++ Nix finds the store in order" verify
finish
