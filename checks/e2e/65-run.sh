# Throw-away containers: the same machines, gone when their command is.
. "$(dirname "$0")/../lib/test.sh"

cloud <<-'NIX'
	{ images, lib, ... }: {
	  cloud.name = "test";
	  hosts.one.networks.lan = { };
	  hosts.one.machines.kiosk = { image = images.debian; command = [ "/bin/sleep" "infinity" ]; };
	}
NIX
check "deploy" deploy
before=$(footprint | grep -v processes)
read -r store name < <(hc image ls --json | jq -r '.[] | select(.machines | index("kiosk")) | "\(.path) \(.name)"')
same "a command, by the image's path" "$(hc run "$store" -- /bin/echo hello)" hello
same "by its name" "$(hc run "$name" -- echo again 2>&1)" again
same "by a machine that has it" "$(hc run --name other kiosk -- cat /etc/hostname)" other
refuse 7 "" "the exit code is passed on" hc run kiosk -- sh -c 'exit 7'
refuse 137 "" "a signal too" hc run kiosk -- sh -c 'kill -9 $$'
same "what is written to it is read" "$(echo piped | hc run kiosk -- cat)" piped
same "its errors are errors" "$(hc run kiosk -- sh -c 'echo out; echo err >&2' 2>/dev/null)" out
same "a megabyte goes through whole" "$(head -c 1000000 /dev/zero | hc run kiosk -- cat | wc -c)" 1000000
check "on a terminal it has one" bash -c \
	'script -qec "stty rows 33 cols 99; $HC run kiosk -- sh -c \"tty && stty size\"" /dev/null | tr -d "\r" | tee /dev/stderr | grep -qx "33 99"'
check "with job control" bash -c \
	'script -qec "$HC run kiosk -- bash -ic \"echo \\\$-\"" /dev/null 2>&1 | tee /dev/stderr | grep -q m'
same "with a user, a directory and variables" "$(hc run -u www-data -w /tmp -e A=b kiosk -- sh -c 'id -un; pwd; echo $A' | tr '\n' ' ')" "www-data /tmp b "
mkdir -p "$WORK/share" && echo shared >"$WORK/share/file" && chmod 700 "$WORK"
same "with a directory of the host" "$(hc run --bind "$WORK/share:/srv" kiosk -- sh -c 'cat /srv/file; touch /srv/x 2>/dev/null || echo no' | tr '\n' ' ')" "shared no "
check "that may be written to" hc run --bind "$WORK/share:/srv:rw" kiosk -- touch /srv/new
check "was" test -e "$WORK/share/new"
refuse 1 "would give the host away" "not one that gives the host away" hc run --bind /etc:/x kiosk -- true
check "on the network" bash -c '"$HC" run kiosk -- getent ahostsv6 kiosk'
same "or none" "$(hc run --no-network kiosk -- sh -c 'ls /sys/class/net')" lo
refuse 1 "no network 'other'" "a network that is not there" hc run --network other kiosk -- true
refuse 1 "is no image" "an image that is not there" hc run nothing -- true
refuse 1 "does not exist in the image" "a program that is not there" hc run kiosk -- /no/such/program
refuse 1 "machine .kiosk. already" "the name of a machine" hc run --name kiosk kiosk -- true
refuse 137 "ran out of memory" "too much memory" hc run --memory 32M kiosk -- tail /dev/zero
rm -f "$WORK/out"
same "nothing of all that is left" "$(footprint | grep -v processes)" "$before"
same "nor on disk" "$(ls /var/lib/hc/machines)" kiosk

# Images of one name, as older generations keep them.
mkdir -p "$WORK/tool/bin" && cp /bin/busybox "$WORK/tool/bin/sh"
for which in one two; do
	echo $which >"$WORK/tool/which"
	tar -cf "$WORK/tool.tar" -C "$WORK/tool" .
	for own in tool "$name"; do
		check "another image called $own" hc image import --name "$own" --out-link "$WORK/$own-$which" "$WORK/tool.tar"
	done
	sleep 1.1 # the store knows seconds
done
same "of several the newest is meant" "$(hc run tool -- /bin/sh -c 'read x </which; echo $x')" two
same "but before it what machines run from" "$(hc run "$name" -- id -un)" root

"$HC" run --name guest kiosk -- sleep 300 &
running=$!
check "one that runs is known to others" bash -c 'for i in $(seq 100); do "$HC" exec guest -- true 2>/dev/null && exit; sleep 0.05; done; exit 1'
check "status" bash -c '"$HC" status guest | grep -q "^guest: ready"'
check "files go in" bash -c 'echo x >"$WORK/x" && "$HC" cp "$WORK/x" guest:/root/x && "$HC" exec guest -- test -e /root/x'
check "a new agent leaves it alone" bash -c '"$HC" agent restart && "$HC" exec guest -- true'
check "so does a deploy" deploy
check "so does gc" hc gc --state
check "still" hc exec guest -- true
kill $running
wait $running
same "it ends with the signal for hc run" $? 143
same "and is gone" "$(ls /run/hc/machines /var/lib/hc/machines | grep -c guest)" 0

"$HC" run --name killed kiosk -- sleep 301 &
running=$!
check "another runs" bash -c 'for i in $(seq 100); do "$HC" exec killed -- true 2>/dev/null && exit; sleep 0.05; done; exit 1'
kill -9 $running
wait $running 2>/dev/null
sleep 0.3
same "killed, nothing of it runs" "$(pgrep -fc 'sleep 301')" 0
check "what it left" test -e /run/hc/machines/killed
same "goes with the next one" "$(hc run kiosk -- echo next; ls /run/hc/machines /var/lib/hc/machines | grep -c killed)" "next
0"
finish
