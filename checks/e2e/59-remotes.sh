# Stores of other hosts over ssh, and Nix daemons at their sockets: hc and C++ Nix at either end.
# own store
. "$(dirname "$0")/../lib/test.sh"

cd "$WORK"
mkdir -p busybox/bin conf path /run/sshd
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
printf 'build-users-group =\nsubstitute = false\nrequire-sigs = false\nexperimental-features = nix-command\n' >conf/nix.conf
cp "$HC" hc
hc() { "$WORK/hc" "$@"; }

# A host to reach, as root and with a key: one with Nix, and at another port one that has only hc.
for key in host user; do ssh-keygen -q -t ed25519 -N '' -f "$key"; done
cp user.pub authorized
for tool in sh bash env; do ln -s "$(command -v $tool)" path/; done
ln -s ../hc path/hc
sshd() {
	cat >"sshd.$1" <<-END
		Port $1
		ListenAddress 127.0.0.1
		HostKey $WORK/host
		AuthorizedKeysFile $WORK/authorized
		StrictModes no
		UsePAM no
		PidFile none
		SetEnv NIX_CONF_DIR=$NIX_CONF_DIR $2
	END
	/usr/sbin/sshd -D -e -f "$WORK/sshd.$1" >"sshd.$1.log" 2>&1 &
	for _ in $(seq 100); do grep -q listening "sshd.$1.log" && return; sleep 0.1; done
}
sshd 2201 ""
sshd 2202 "PATH=$WORK/path"
cat >ssh_config <<END
StrictHostKeyChecking accept-new
UserKnownHostsFile $WORK/known
IdentityFile $WORK/user
LogLevel ERROR
Host far
	HostName 127.0.0.1
	Port 2201
END
export NIX_SSHOPTS="-F $WORK/ssh_config"
check "the host can be reached" ssh -F ssh_config far true

whole() { nix-store --store "$1" --verify --check-contents 2>&1 | { ! grep -E 'error|modified|disappeared'; }; }

thing=$(hc build --store "$WORK/here" --file . --no-link --print-out-paths)
serve="remote-program=$WORK/hc%20store%20serve"
number=0
# there TITLE ADDRESS: to a fresh store there and back, by hc and by C++ Nix.
there() {
	local title=$1 address=$2
	number=$((number + 1))
	local far="$WORK/far$number"
	mkdir "$far"
	check "$title: hc copies there" hc --store "$WORK/here" copy --to "$address&remote-store=$far" "$thing"
	check "$title: it is whole" whole "$far"
	same "$title: once" "$(hc --store "$WORK/here" copy --to "$address&remote-store=$far" --json "$thing" | jq -c .copied)" "[]"
	check "$title: hc copies back" hc --store "$WORK/back$number" copy --from "$address&remote-store=$far" "$thing"
	check "$title: it is whole" whole "$WORK/back$number"
	check "$title: hc asks" hc store info --json --recursive --from "$address&remote-store=$far" "$thing"
	check "$title: C++ Nix copies back" nix copy --store "$WORK/nix$number" --from "$address&remote-store=$far" "$thing"
	same "$title: the same" "$(nix-store --store "$WORK/nix$number" --query --hash "$thing")" \
		"$(nix-store --store "$WORK/here" --query --hash "$thing")"
	mkdir "$far.nix"
	check "$title: C++ Nix copies there" nix copy --store "$WORK/here" --to "$address&remote-store=$far.nix" "$thing"
	check "$title: it is whole" whole "$far.nix"
	check "$title: hc finds it whole" hc --store "$far.nix" store verify
}
there "ssh, Nix there" "ssh://far?compress=true"
there "ssh-ng, Nix there" "ssh-ng://far?compress=false"
there "ssh, hc there" "ssh://far?$serve"
there "ssh-ng, hc there" "ssh-ng://far?$serve"
check "a host that has only hc" hc --store "$WORK/here" copy \
	--to "ssh://root@127.0.0.1:2202?ssh-key=$WORK/user&remote-store=$WORK/only" "$thing"
check "it is whole" whole "$WORK/only"
check "it answers" hc store ping "ssh-ng://root@127.0.0.1:2202"
check "it is hc" test "$(hc store ping --json "ssh-ng://root@127.0.0.1:2202" | jq -r .version | cut -d' ' -f1)" = hc

refuse 1 "port 1: connection refused" "no host" hc store ping "ssh://127.0.0.1:1"
refuse 1 "command not found" "no program" hc store ping "ssh://far?remote-program=nonsense"
refuse 1 "setting .colour. is not known" "no setting" hc store ping "ssh://far?colour=red"
refuse 1 "no name of a host" "no option of ssh" hc store ping "ssh://-oProxyCommand=x"
refuse 1 "does not have" "no path" hc copy --from "ssh://far?remote-store=$WORK/none" "$thing"
refuse 1 "connection broke" "a client that leaves at once" ssh -F ssh_config far "$WORK/hc store serve </dev/null"
refuse 1 "does not greet" "another program" hc store ping "ssh://far?remote-program=env%20printf%20%2512000d"
# Unbuffered, or the greeting would wait for more.
printf '#!/bin/sh\n%s/hc store serve "$@" | stdbuf -o0 head -c 100000\n' "$WORK" >cut-off
chmod +x cut-off
for scheme in ssh ssh-ng; do
	refuse 1 "ended too soon" "$scheme: an archive that is cut off" hc --store "$WORK/little" copy \
		--from "$scheme://far?remote-program=$WORK/cut-off&remote-store=$WORK/far1" "$thing"
	same "$scheme: nothing is left" "$(find little/nix/store -mindepth 1 -maxdepth 1 -not -name .links)" ""
done

# A daemon that trusts nobody, and one that does.
daemon() {
	NIX_DAEMON_SOCKET_PATH="$WORK/$1.socket" nix-daemon --store "$WORK/$1" --option require-sigs true \
		--option trusted-users "$2" >"$1.log" 2>&1 &
	for _ in $(seq 100); do [ -S "$1.socket" ] && return; sleep 0.1; done
}
nix-store --store "$WORK/wary" --init
nix-store --store "$WORK/open" --init
nix-store --store "$WORK/builder" --init
daemon wary ""
daemon open root
refuse 1 "signature" "an unsigned path" hc --store here copy --to "unix://$WORK/wary.socket" "$thing"
refuse 1 "signature" "nor without the check" hc --store here copy --no-check-sigs --to "unix://$WORK/wary.socket" "$thing"
hc key generate one >secret
hc --store here store sign --key-file secret --recursive "$thing" >/dev/null
refuse 1 "signature" "by a key that is not trusted" hc --store here copy --to "unix://$WORK/wary.socket" "$thing"
check "who is trusted may" hc --store here copy --no-check-sigs --to "unix://$WORK/open.socket" "$thing"
check "it is whole" whole "$WORK/open"
check "and back" hc --store here2 copy --from "unix://$WORK/open.socket" "$thing"
refuse 1 "is nix-daemon running" "no daemon" hc store ping "unix://$WORK/no.socket"

# Built elsewhere, and copied here.
daemon builder root
for on in "unix://$WORK/builder.socket" "ssh://far?remote-store=$WORK/builds1" \
	"ssh-ng://far?$serve&remote-store=$WORK/builds2" "ssh://far?$serve&remote-store=$WORK/builds3"; do
	number=$((number + 1))
	same "built on ${on%%\?*}" "$(hc build --store "$WORK/built$number" --file . --no-link --print-out-paths -L --on "$on" 2>log)" "$thing"
	case $on in
	ssh://*) ;;
	*) check "its log is heard" grep -q built log ;;
	esac
	check "it is whole" whole "$WORK/built$number"
done
sed 's/echo ${sh}.*>&2"/exit 7"/; s/"thing"/"bad"/' default.nix >bad.nix
refuse 4 "exit code 7" "what fails there, fails here" hc build --store "$WORK/built" --no-link \
	--on "unix://$WORK/builder.socket" --file bad.nix

# Streams of nix-store --export, both ways.
hc --store here store export --recursive "$thing" >export
check "C++ Nix imports it" nix-store --store "$WORK/import" --import <export
check "it is whole" whole "$WORK/import"
same "C++ Nix exports the same" "$(nix-store --store "$WORK/import" --export $(nix-store --store "$WORK/import" --query --requisites "$thing") | sha256sum)" \
	"$(sha256sum <export)"
check "hc imports it" hc --store import2 store import <export
check "it is whole" whole "$WORK/import2"
head -c 100000 export >cut
refuse 1 "import" "a stream that is cut off" hc --store import3 store import <cut
refuse 1 "not written by" "another stream" hc --store import3 store import </bin/busybox
same "nothing is left" "$(find import3/nix/store -mindepth 1 -maxdepth 1 -not -name .links)" ""

# Looking into it.
same "cat" "$(hc --store here store cat "$thing")" "$(cat "here$thing")"
tool=$(cat "here$thing")
same "ls" "$(hc --store here store ls -R "$tool")" "$(printf './bin\n./bin/busybox\n./bin/sh')"
same "ls --json" "$(hc --store here store ls -R --json "$tool" | jq -c '.entries.bin.entries.sh')" \
	'{"type":"symlink","target":"busybox"}'
refuse 1 "is a symlink" "no way out by a symlink" hc --store here store cat "$tool/bin/sh/x"
check "verify" hc --store here store verify
chmod u+w "import2$thing"
echo more >>"import2$thing"
refuse 1 "modified" "damage" hc --store import2 store verify "$thing"
rm "import2$thing"
refuse 1 "not there" "loss" hc --store import2 store verify

# An archive is never in memory, at neither end.
head -c 200M /dev/urandom >large
large=$(nix-store --store "$WORK/here" --add "$WORK/large")
cat >measured <<END
#!/bin/sh
exec /usr/bin/time -f %M -a -o $WORK/rss $WORK/hc "\$@"
END
chmod +x measured
slim() { awk -v limit=65536 '$1 > limit { bad = 1 } END { exit bad || NR == 0 }' rss; }
for scheme in ssh ssh-ng; do
	rm -f rss
	./measured --store here copy --to "$scheme://far?remote-program=$WORK/measured%20store%20serve&remote-store=$WORK/slim-$scheme" "$large" >out 2>&1
	./measured --store "slim-back-$scheme" copy --from "$scheme://far?remote-program=$WORK/measured%20store%20serve&remote-store=$WORK/slim-$scheme" "$large" >out 2>&1
	echo "# $scheme: KiB at most: $(sort -n rss | tr '\n' ' ')"
	check "$scheme: 200 MiB in less than 64" slim
	check "$scheme: it came" cmp large "slim-back-$scheme$large"
	rm -rf --one-file-system "slim-$scheme" "slim-back-$scheme"
done
rm -f rss
./measured --store here store export "$large" >export
./measured --store slim-import store import <export >out
echo "# export, import: KiB at most: $(sort -n rss | tr '\n' ' ')"
check "export and import: 200 MiB in less than 64" slim
rm -rf --one-file-system export slim-import
rm -f rss
./measured --store here copy --no-check-sigs --to "unix://$WORK/open.socket" "$large" >out 2>&1
echo "# daemon: KiB at most: $(cat rss)"
check "daemon: 200 MiB in less than 64" slim

# Newer releases, as clients (what is on localhost they call without ssh) and as the far end.
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
peer() { ./peer "$@"; }
for name in trixie sid; do
	if [ ! -e "/opt/peers/$name" ]; then
		echo "SKIPPED: /opt/peers/$name is not installed"
		continue
	fi
	version=$(peer $name nix --version | awk '{ print $NF }')
	for scheme in ssh ssh-ng; do
		far="$scheme://localhost?remote-program=/mnt/hc%20store%20serve&remote-store=/mnt/$name-$scheme"
		check "Nix $version, $scheme: there" peer $name nix copy --no-check-sigs --store /mnt/here --to "$far" "$thing"
		check "Nix $version, $scheme: it is whole" whole "$WORK/$name-$scheme"
		check "Nix $version, $scheme: and back" peer $name nix copy --no-check-sigs --store "/mnt/$name-$scheme-back" --from "$far" "$thing"
		check "Nix $version, $scheme: it is whole" whole "$WORK/$name-$scheme-back"
	done
	for far in "ssh://far?remote-program=$WORK/peer%20$name%20nix-store&remote-store=/mnt/$name-far1" \
		"ssh-ng://far?remote-program=$WORK/peer%20$name%20nix-daemon&remote-store=/mnt/$name-far2"; do
		number=$((number + 1))
		check "hc to Nix $version over ${far%%:*}" hc --store here copy --no-check-sigs --to "$far" "$thing"
		check "and back" hc --store "back$number" copy --from "$far" "$thing"
		check "it is whole" whole "$WORK/back$number"
		check "built there" hc build --store "built$number" --file . --no-link --on "${far}b"
		check "it is whole" whole "$WORK/built$number"
	done
done

kill $(jobs -p) 2>/dev/null
finish
