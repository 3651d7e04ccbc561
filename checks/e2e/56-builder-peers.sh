# A corpus of derivations, one of every kind, built by hc and by releases of C++ Nix: the same paths, the
# same files, modes and times, the same rows in the database; and what one refuses the other refuses too.
# PEERS are directories with a Debian that has Nix, besides the one of this host.
# own store
. "$(dirname "$0")/../lib/test.sh"

PEERS=${PEERS-/opt/peers/trixie /opt/peers/sid}
# Both see everything at the same place.
mount --bind "$WORK" /mnt
cd /mnt
mkdir -p busybox/bin files conf home
cp /bin/busybox busybox/bin/busybox
for applet in sh cat chmod cp env find grep hostname id ip ln ls mkdir mknod mkfifo readlink sed setfattr \
	setpriv sort stat tail test touch tr true tty umask uname wc; do
	ln -s busybox "busybox/bin/$applet"
done
echo fetched >files/plain
mkdir -p files/tree/sub
echo in >files/tree/sub/file
printf '#!x' >files/tree/run
chmod +x files/tree/run
ln -s sub/file files/tree/link
printf 'caf\351 \200\377' >files/latin # no UTF-8
tar -C files -cf files/channel.tar tree
nix-store --dump files/tree >files/tree.nar
sha() { sha256sum "$1" | cut -d' ' -f1; }
cat >known.nix <<NIX
{ plain = "$(sha files/plain)"; unpacked = "$(sha files/tree.nar)"; }
NIX
cat >corpus.nix <<'NIX'
{ files }:
let
  known = import ./known.nix;
  sh = builtins.path { path = ./busybox; name = "busybox"; };
  d = name: script: more: derivation ({
    inherit name; system = "x86_64-linux"; builder = "${sh}/bin/sh"; PATH = "${sh}/bin";
    args = [ "-ec" script ];
  } // more);
  fixed = mode: algo: hash: { outputHashMode = mode; outputHashAlgo = algo; outputHash = hash; };
  floating = mode: { __contentAddressed = true; outputHashMode = mode; outputHashAlgo = "sha256"; };
  hash = algo: builtins.hashString algo "text\n";
  # What a builder sees: of its variables, ids, files, devices, limits and network.
  audit = ''
    {
      env | grep -v '^out=' | sort; id -u; id -g; pwd; umask; hostname; cat /proc/sys/kernel/domainname; uname -m
      cat /etc/passwd /etc/group; ls / /etc /dev; cd /; stat -c '%n %a %u:%g' / /tmp /build /dev /dev/shm /proc /nix /nix/store /etc /etc/*
      cd /build; readlink /proc/self/fd/0; ls /proc/$$/fd; grep 'core file' /proc/$$/limits; cat /proc/$$/personality
      grep -E '^(Uid|Gid|Groups|NSpid|NSsid|CapEff|NoNewPrivs|Seccomp|SigBlk):' /proc/$$/status
      echo pid $$; ls -A /build; wc -c </proc/self/cmdline
    } > $out 2>/dev/null || true
    test -t 2 && echo terminal >> $out
    t() { if "$@" 2>/dev/null; then echo "yes: $*"; else echo "no: $*"; fi >> $out; }
    touch f; mkfifo p; t chmod 4755 f; t chmod 2755 f; t chmod 1755 f; t chmod 600 f; t mknod n c 1 3; t touch /etc/x
    t touch /x; t touch /nix/x; t touch /nix/store/x; t touch /dev/x; t touch /dev/shm/x
    t touch /tmp/x; t cat /proc/1/environ; t kill -0 1; t ip link set lo down; t setpriv --reuid 0 true
    stat -c '%a %F' f p >> $out
  '';
  loopback = "cat /etc/hosts >> $out; ip -o link | wc -l >> $out; ip addr show lo | grep -c 127.0.0.1 >> $out;";
in rec {
  seen = d "seen" (audit + loopback) { };
  seen-i686 = d "seen-i686" audit { system = "i686-linux"; };
  arguments = derivation {
    name = "arguments"; system = "x86_64-linux"; builder = "${sh}/bin/sh"; odd = "a b\n\t\"c\" $d \\e é";
    args = [ "-c" ''printf '%s|' "$0" "$@" "$odd" > $out'' "zero" "" "a b" "\n" "$x" "é" ];
    PATH = "${sh}/bin"; true = true; false = false; null = null; int = 5; float = 1.5; list = [ "a" 1 [ "b" ] ];
    path = ./known.nix;
  };
  bytes = let odd = builtins.readFile ./files/latin; in derivation {
    name = "bytes"; system = "x86_64-linux"; builder = "${sh}/bin/sh"; PATH = "${sh}/bin"; inherit odd; ${odd} = "named";
    args = [ "-c" ''printf '%s|' "$0" "$@" "$odd" > $out'' odd "x${odd}" ];
  };
  variables = d "variables" "env | grep -v ^out | sort > $out"
    { HOME = "/x"; TMPDIR = "/x"; NIX_STORE = "x"; NIX_BUILD_CORES = "99"; PWD = "/x"; TERM = "x"; NIX_LOG_FD = "9"; };
  in-files = d "in-files" ''cat $textPath $bigPath > $out; env | grep Path | sort >> $out; stat -c '%a %u' .attr* >> $out''
    { passAsFile = [ "text" "big" ]; text = "in a file"; big = toString (builtins.genList (n: n) 50000); };
  structured = d "structured" ''
    export PATH=${sh}/bin; out=$(sed 's/.*"outputs":{[^}]*"out":"\([^"]*\)".*/\1/' /build/.attrs.json)
    dev=$(sed 's/.*"outputs":{[^}]*"dev":"\([^"]*\)".*/\1/' /build/.attrs.json)
    cat /build/.attrs.json /build/.attrs.sh > $out; env | sort >> $out; ls -A /build >> $out; echo > $dev
  '' {
    __structuredAttrs = true; outputs = [ "out" "dev" ]; list = [ "a b" 1 true null ]; set.x = "y'z"; set.n = 5;
    float = 1.5; deep.a.b = [ 1 ]; empty = [ ]; "odd-name" = "x"; text = "a\nb"; unicode = "é";
  };
  # Old releases had fewer digits.
  floats = d "floats" ''
    export PATH=${sh}/bin; out=$(sed 's/.*"outputs":{[^}]*"out":"\([^"]*\)".*/\1/' /build/.attrs.json)
    cat /build/.attrs.json /build/.attrs.sh > $out
  '' { __structuredAttrs = true; floats = [ 1.0e-7 9.7e21 0.1 1.0e300 ]; };
  graph = d "graph" "cat closure > $out" { exportReferencesGraph = [ "closure" refers ]; };
  graph-structured = d "graph-structured" ''
    export PATH=${sh}/bin; out=$(sed 's/.*"outputs":{"out":"\([^"]*\)".*/\1/' /build/.attrs.json)
    sed 's/"registrationTime":[0-9]*/"registrationTime":0/g' /build/.attrs.json > $out
  '' { __structuredAttrs = true; exportReferencesGraph.closure = [ refers ]; };
  several = d "several" "echo $dev > $out; mkdir $dev; echo $doc > $dev/f; echo > $doc; echo ${placeholder "doc"} > $lib"
    { outputs = [ "lib" "out" "dev" "doc" ]; };
  refers = d "refers" "mkdir $out; echo ${several} ${several.doc} $out > $out/f; ln -s ${several.dev}/f $out/link" { };
  tree = d "tree" ''
    mkdir -p $out/a/b $out/empty; cd $out; echo x > a/x; chmod 777 a/x; echo y > a/y; chmod 400 a/y; chmod 700 a
    ln a/x a/hard; ln -s ../nowhere a/b/dangling; ln -s $out/a/x absolute; touch -d @5 a/y; echo > "with space"
    echo > "$(printf 'new\nline')"; echo > é; echo > -dash; echo > '*'; mkdir .hidden; echo > .hidden/.f; chmod 000 .hidden/.f
    : > zero; chmod 111 zero; chmod 500 .
  '' { };
  one-file = d "one-file" "echo > $out; chmod 755 $out" { };
  one-link = d "one-link" "ln -s /nowhere $out" { };
  flat = d "flat" "echo text > $out" (fixed "flat" "sha256" (hash "sha256"));
  flat-sha1 = d "flat-sha1" "echo text > $out" (fixed "flat" "sha1" (hash "sha1"));
  flat-sha512 = d "flat-sha512" "echo text > $out" (fixed "flat" "sha512" (hash "sha512"));
  flat-md5 = d "flat-md5" "echo text > $out" (fixed "flat" "md5" (hash "md5"));
  flat-seen = d "flat-seen" "env | grep -v -e ^out= -e ^outputHash | sort >&2; ls /etc | grep -v -e hosts -e services >&2; echo text > $out"
    (fixed "flat" "sha256" (hash "sha256") // { impureEnvVars = [ "ASKED" "UNSET" ]; });
  recursive = d "recursive" "mkdir -p $out/sub; echo in > $out/sub/file; printf '#!x' > $out/run; chmod +x $out/run; ln -s sub/file $out/link"
    (fixed "recursive" "sha256" known.unpacked);
  fetched = derivation ({ name = "fetched"; system = "builtin"; builder = "builtin:fetchurl"; url = "${files}/plain"; }
    // fixed "flat" "sha256" known.plain);
  fetched-tree = derivation ({ name = "fetched-tree"; system = "builtin"; builder = "builtin:fetchurl"; url = "${files}/tree.nar"; unpack = true; }
    // fixed "recursive" "sha256" known.unpacked);
  channel = derivation { name = "channel"; system = "builtin"; builder = "builtin:unpack-channel"; src = ./files/channel.tar; channelName = "nixos"; };
  environment = derivation {
    name = "environment"; system = "builtin"; builder = "builtin:buildenv"; manifest = builtins.toFile "manifest" "[ ]";
    derivations = [ "true" 5 1 recursive "true" 5 1 several.dev ];
  };
  content = d "content" "mkdir $out; echo ${refers} > $out/other" (floating "recursive");
  itself = d "itself" "mkdir $out; echo $out > $out/itself; echo $out > $out/again" (floating "recursive");
  content-flat = d "content-flat" "echo text > $out" (floating "flat");
  content-text = d "content-text" "echo ${refers} > $out" (floating "text");
  content-several = d "content-several" "echo $dev > $out; echo x > $dev" (floating "recursive" // { outputs = [ "out" "dev" ]; });
  uses-content = d "uses-content" "cat ${content}/other ${content-several.dev} > $out; echo ${content} >> $out" { };
  content-of-content = d "content-of-content" "echo ${content} > $out" (floating "recursive");
  impure = d "impure" "echo always the same > $out" { __impure = true; };
  inner = d "inner" "echo from the inner one > $out" { };
  maker = d "inner.drv" "cat ${builtins.unsafeDiscardOutputDependency inner.drvPath} > $out" (floating "text");
  reader = d "reader" "cat ${builtins.outputOf maker.outPath "out"} > $out" { };
  alone = builtins.outputOf maker.outPath "out";
  allowed = d "allowed" "echo ${refers} > $out" { allowedReferences = [ refers ]; disallowedRequisites = [ seen ]; };
  allowed-itself = d "allowed-itself" "echo $out > $out" { allowedReferences = [ "out" ]; };
  checked = d "checked" ''
    export PATH=${sh}/bin; out=$(sed 's/.*"outputs":{"out":"\([^"]*\)".*/\1/' /build/.attrs.json); echo ${refers} > $out
  '' { __structuredAttrs = true; outputChecks.out = { maxSize = 1000; allowedReferences = [ refers ]; }; };
  discards = d "discards" ''
    export PATH=${sh}/bin; out=$(sed 's/.*"outputs":{"out":"\([^"]*\)".*/\1/' /build/.attrs.json); echo ${refers} > $out
  '' { __structuredAttrs = true; unsafeDiscardReferences.out = true; };
  wishes = d "wishes" "echo > $out" { preferLocalBuild = true; allowSubstitutes = false; requiredSystemFeatures = [ "big-parallel" "benchmark" ]; };
  # Asks with the Nix that the sandbox shows.
  asks = d "asks" ''
    export PATH=$PATH:/usr/bin HOME=/build/home NIX_CONFIG="experimental-features = nix-command"
    mkdir $out; echo x > text; added=$(nix-store --add text); cat $added > /dev/null; ln -s $added $out/added
    echo "derivation { name = \"asked\"; system = \"x86_64-linux\"; builder = \"\''${builtins.storePath \"${sh}\"}/bin/sh\";
      args = [ \"-c\" \"echo built > \$out\" ]; }" > asked.nix
    built=$(nix-build --no-out-link asked.nix); cat $built > $out/built; echo $built >> $out/built
    nix path-info --all | grep -v -e '-asked.drv$' | sort > $out/all; echo $NIX_REMOTE > $out/remote; ls -A /build > $out/ls
  '' { requiredSystemFeatures = [ "recursive-nix" ]; };

  refused = {
    fails = d "fails" "exit 3" { };
    killed = d "killed" "kill -9 $$; sleep 1; false" { };
    nothing = d "nothing" "true" { };
    no-builder = derivation { name = "no-builder"; system = "x86_64-linux"; builder = "/bin/nothing"; };
    other-system = derivation { name = "other-system"; system = "riscv64-linux"; builder = "/bin/sh"; };
    pipe = d "pipe" "mkfifo $out" { };
    half = d "half" "echo > $out" { outputs = [ "out" "dev" ]; };
    circle = d "circle" "echo $dev > $out; echo $out > $dev" { outputs = [ "out" "dev" ]; };
    wrong-hash = d "wrong-hash" "echo other > $out" (fixed "flat" "sha256" (hash "sha256"));
    flat-directory = d "flat-directory" "mkdir $out" (fixed "flat" "sha256" (hash "sha256"));
    flat-executable = d "flat-executable" "echo text > $out; chmod +x $out; false" (fixed "flat" "sha256" (hash "sha256"));
    fixed-refers = d "fixed-refers" "echo ${sh} > $out" (fixed "flat" "sha256" (builtins.hashString "sha256" "${sh}\n"));
    disallowed = d "disallowed" "echo ${refers} > $out" { disallowedReferences = [ refers ]; };
    disallowed-deep = d "disallowed-deep" "echo ${refers} > $out" { disallowedRequisites = [ several.doc ]; };
    not-allowed = d "not-allowed" "echo ${refers} > $out" { allowedReferences = [ ]; };
    not-itself = d "not-itself" "echo $out > $out" { allowedReferences = [ ]; };
    not-allowed-deep = d "not-allowed-deep" "echo ${refers} > $out" { allowedRequisites = [ refers ]; };
    feature = d "feature" "echo > $out" { requiredSystemFeatures = [ "unheard-of" ]; };
    after-failure = d "after-failure" "cat ${refused.fails} > $out" { };
    fetch-nothing = derivation ({ name = "fetch-nothing"; system = "builtin"; builder = "builtin:fetchurl"; url = "${files}/nothing"; }
      // fixed "flat" "sha256" known.plain);
    no-such-builtin = derivation { name = "no-such-builtin"; system = "builtin"; builder = "builtin:nothing"; };
    content-circle = d "content-circle" "echo $dev > $out; echo $out > $dev" (floating "recursive" // { outputs = [ "out" "dev" ]; });
    too-large = d "too-large" ''
      export PATH=${sh}/bin; out=$(sed 's/.*"outputs":{"out":"\([^"]*\)".*/\1/' /build/.attrs.json); echo ${refers} > $out
    '' { __structuredAttrs = true; outputChecks.out.maxSize = 10; };
    no-derivation = d "no-derivation.drv" "echo text > $out" (floating "text");
  };
}
NIX

busybox httpd -f -p 127.0.0.1:8181 -h files &
httpd=$!
features="nix-command ca-derivations impure-derivations"
cat >conf/nix.conf <<CONF
experimental-features = $features
build-users-group = nixbld
builders =
substituters =
sandbox = true
sandbox-paths =
system-features = benchmark big-parallel kvm nixos-test recursive-nix
CONF
cat >peer <<'END'
#!/bin/sh
# peer ROOT COMMAND…: runs a command of that release, which sees this directory as /mnt; without ROOT, of this host.
root=$1
shift
export NIX_CONF_DIR=/mnt/conf HOME=/mnt/home ASKED=asked
mkdir -p users
{ cat "$root/etc/passwd"; for n in 1 2 3 4; do echo "nixbld$n:x:3000$n:30000::/var/empty:/sbin/nologin"; done; } >users/passwd
{ cat "$root/etc/group"; echo nixbld:x:30000:nixbld1,nixbld2,nixbld3,nixbld4; } >users/group
exec unshare --mount sh -ec 'mount --bind users/passwd "$1/etc/passwd"; mount --bind users/group "$1/etc/group"
	if [ "$1" ]; then
		mount --rbind "$1" "$1"; mount --rbind /mnt "$1/mnt"; mount -t proc proc "$1/proc"; mount --rbind /sys "$1/sys"
		mount --rbind /dev "$1/dev"; cd "$1"; pivot_root . srv; cd /mnt
	fi
	shift; exec "$@"' sh "$root" "$@"
END
chmod +x peer
arguments=(--file corpus.nix --argstr files http://127.0.0.1:8181)
corpus="seen seen-i686 arguments variables in-files structured graph graph-structured several refers tree one-file
	one-link flat flat-sha1 flat-sha512 flat-md5 flat-seen recursive fetched fetched-tree channel environment content
	content-flat content-several uses-content content-of-content impure allowed allowed-itself checked wishes"
# What some releases have not, or do otherwise: 2.8 has no dynamic derivations, 2.26 does not build them in one go,
# and 2.17 to 2.34 hash what refers to itself without the places where it does.
newer="itself discards content-text reader alone floats"
have() {
	case $1 in
	2.[0-9].* | 2.1[0-6].*) echo itself ;;
	2.1* | 2.2*) echo discards content-text floats ;;
	2.3[0-4].*) echo discards content-text reader alone floats ;;
	*) echo "$newer" ;;
	esac
}
# What differs because that release was otherwise.
known() {
	case $1 in
	# Files of structured attributes are named by the host's path; /etc can be written to and has no certificates;
	# `exportReferencesGraph` lacks a field.
	2.[0-9].*) echo "graph-structured log-of-flat-seen.drv seen seen-i686 structured" ;;
	esac
}
refused="fails killed nothing no-builder other-system pipe half circle wrong-hash flat-directory flat-executable
	fixed-refers disallowed disallowed-deep not-allowed not-itself not-allowed-deep feature after-failure fetch-nothing
	no-such-builtin content-circle too-large"

# paths STORE: what is valid there.
paths() { sqlite3 "$1/nix/var/nix/db/db.sqlite" "select substr(path, 12) from ValidPaths order by 1"; }
# files STORE PATH: its tree, with kinds, modes, sizes, times, contents, and what its row says.
files() {
	(
		cd "$1/nix/store"
		find "./$2" -print0 | sort -z | while IFS= read -r -d '' file; do
			stat -c '%F %a %h %Y %u:%g %N' "$file"
			[ ! -f "$file" ] || [ -L "$file" ] || sha256sum <"$file"
			[ ! -f "$file" ] || [ -L "$file" ] || head -c 10000 "$file" | tr '\0' ' '
		done
	)
	sqlite3 "$1/nix/var/nix/db/db.sqlite" "
		select hash, narSize, ca, deriver, coalesce(ultimate, 0), sigs from ValidPaths where path = '/nix/store/$2';
		select r.path from Refs join ValidPaths v on v.id = referrer join ValidPaths r on r.id = reference
			where v.path = '/nix/store/$2' order by 1;
		select d.id, d.path from DerivationOutputs d join ValidPaths v on v.id = drv where v.path = '/nix/store/$2' order by 1;"
}
# log STORE DERIVATION: what its builder said.
log() {
	local at="$1/nix/var/log/nix/drvs/${2:0:2}/${2:2}"
	[ ! -e "$at.bz2" ] || bzcat "$at.bz2" | grep -v '^@nix '
}
# compare STORE STORE: path by path; what differs is in differences.
compare() {
	local path
	: >differences
	for path in $(comm -12 <(paths "$1") <(paths "$2")); do
		if ! diff <(files "$1" "$path") <(files "$2" "$path") >difference; then
			echo "${path:33} $(tr '\n' '~' <difference)" >>differences
		fi
		[[ " $corpus $newer " == *[[:space:]]"${path:33:-4}"[[:space:]]* ]] || continue
		diff <(log "$1" "$path") <(log "$2" "$path") >difference || echo "log-of-${path:33} $(tr '\n' '~' <difference)" >>differences
	done
}

ours() { ASKED=asked hc --store "$@"; }
on=(--extra-experimental-features "ca-derivations impure-derivations dynamic-derivations")
# shellcheck disable=SC2086 # words
check "hc builds the corpus" ours ours build "${arguments[@]}" "${on[@]}" --keep-going --no-link $corpus $newer
for what in $refused no-derivation; do
	refuse 4 "" "hc refuses: $what" ours ours build "${arguments[@]}" "${on[@]}" --no-link "refused.$what"
done
# Whoever corrects the hash need not build again.
check "what is not what was promised is valid by what it is" grep -q -- "-wrong-hash$" <(paths ours)

for root in "" $PEERS; do
	if [ "$root" ] && [ ! -e "$root/usr/bin/nix" ]; then
		echo "SKIPPED: $root is not installed"
		continue
	fi
	release=$(./peer "$root" nix --version | awk '{ print $NF }')
	store=/mnt/theirs-$release more=$(have "$release") dynamic=()
	[[ $more != *content-text* ]] || dynamic=(--extra-experimental-features dynamic-derivations)
	theirs() { ./peer "$root" nix build --store "$store" "${arguments[@]}" "${dynamic[@]}" --no-link "$@"; }
	# shellcheck disable=SC2086 # words
	check "Nix $release builds the corpus" theirs --keep-going $corpus $more
	for what in $refused; do
		# One of them aborts.
		if theirs "refused.$what" >out 2>&1; then not_ok "Nix $release refuses: $what"; else ok "Nix $release refuses: $what"; fi
	done
	same "Nix $release: the same paths" "$(diff <(paths ours) <(paths "$store") | grep '^>')" ""
	only=$(for what in $newer; do [[ " $more " == *" $what "* ]] || echo "$what"; done)
	only="$only inner maker inner.drv no-derivation.drv"
	same "Nix $release: and no others" "$(comm -23 <(paths ours) <(paths "$store") | sed 's/^[^-]*-//; s/\.drv$//' |
		grep -vxF "$(printf '%s\n' $only)")" ""
	compare ours "$store"
	cp differences "differences-$release"
	sed 's/^/     | /' differences
	same "Nix $release: the same contents" "$(cut -d' ' -f1 differences | grep -vxF "$(known "$release" | tr ' ' '\n')")" ""
	# Of a copy: newer releases add to the database.
	cp -a ours checked
	same "Nix $release finds nothing wrong with what hc built" \
		"$(./peer "$root" nix-store --store /mnt/checked --verify --check-contents 2>&1 || echo failed)" \
		"$(printf '%s...\n' "reading the Nix store" "checking path existence" "checking link hashes" "checking store hashes")"
	check "hc finds it whole afterwards" hc --store checked store verify
	rm -rf --one-file-system checked
done
# Builders that ask, with the Nix of that release; 2.8 shows a builder nothing of what it adds.
for root in $PEERS; do
	[ -e "$root/usr/bin/nix" ] || continue
	release=$(./peer "$root" nix --version | awk '{ print $NF }')
	check "Nix $release, asked by a builder" ./peer "$root" nix build --store "/mnt/asked-theirs-$release" "${arguments[@]}" --no-link \
		--extra-experimental-features recursive-nix --option sandbox-paths "/usr /lib /lib64" asks
	check "hc, asked by the same" ours "asked-ours-$release" build "${arguments[@]}" --no-link "${on[@]}" asks \
		--sandbox-path "/usr=$root/usr" --sandbox-path "/lib=$root/lib" --sandbox-path "/lib64=$root/lib64"
	same "the same paths" "$(diff <(paths "asked-ours-$release") <(paths "asked-theirs-$release"))" ""
	compare "asked-ours-$release" "asked-theirs-$release"
	sed 's/^/     | /' differences
	same "the same contents" "$(cut -d' ' -f1 differences)" ""
done
check "hc asks hc" ours asked-hc build --impure --file - --no-link --sandbox-path /usr=/usr --sandbox-path /lib=/lib \
	--sandbox-path /lib64=/lib64 --sandbox-path "/hc=$HC" <<'NIX'
let sh = builtins.path { path = /mnt/busybox; name = "busybox"; }; in derivation {
  name = "hc-asks"; system = "x86_64-linux"; builder = "${sh}/bin/sh"; PATH = "${sh}/bin"; inherit sh;
  requiredSystemFeatures = [ "recursive-nix" ];
  args = [ "-ec" ''
    export HOME=/build/home
    /hc store ping $NIX_REMOTE
    cp -r $sh sh
    cat > asked.nix <<END
    let sh = builtins.path { path = ./sh; name = "busybox"; }; in derivation {
      name = "asked"; system = "x86_64-linux"; builder = "\''${sh}/bin/sh"; args = [ "-c" "echo built > \\\$out" ];
    }
    END
    built=$(/hc --store /build/own build --impure --file asked.nix --no-link --print-out-paths --on $NIX_REMOTE)
    cat $built > $out; cat /build/own$built
  '' ];
}
NIX
kill $httpd
cd /
umount /mnt
finish
