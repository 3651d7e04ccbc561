# Into a machine that runs, and out of it: shells and files.
. "$(dirname "$0")/../lib/test.sh"
. "$(dirname "$0")/../lib/inside.sh"

cloud <<-'NIX'
	{ images, lib, ... }: {
	  cloud.name = "test";
	  hosts.one.machines = {
	    deb = { image = images.debian; command = [ "/bin/sleep" "infinity" ]; };
	    other = { image = images.debian; command = [ "/bin/sleep" "infinity" ]; };
	    bare = { image = images.minimal; command = [ "/bin/hc" "guest" "init" ]; files."/etc/passwd".text = ""; };
	  };
	}
NIX
check "deploy" deploy

shells deb
check "on a terminal it has one" bash -c \
	'(sleep 1; echo tty; sleep 1; echo exit) | script -qec "stty rows 33 cols 99; $HC shell deb" /dev/null | tr -d "\r" | tee /dev/stderr | grep -q /dev/pts/'
refuse 1 "has no shell.*hc exec" "an image without a shell" hc shell bare
refuse 1 "not running" "a machine that is not there" hc shell nobody

cd "$WORK" || exit 1
copied_in deb
check "contents of a directory" hc cp tree/. deb:/srv/kept
check "from one machine to another" hc cp deb:/srv/kept other:/opt/got
same "owners and all" "$(hc exec other -- stat -c '%u %n' /opt/got/sub)" "1000 /opt/got/sub"
check "out of the machine" hc cp other:/opt/got back
same "it is what went in" "$(sum back)" "$(sum tree)"
same "and belongs to who copied it" "$(stat -c %u back/sub)" 0

hc cp bare:/etc/hostname - | tar -xO >out
same "a tar stream comes out" "$(cat out)" bare
tar -c tree | hc cp - bare:/etc >out 2>&1
same "and goes in" "$(hc cp bare:/etc/tree/file - | tar -xO)" text
check "of what the kernel shows, no file" hc cp deb:/proc/sys kernel
says "warning: deb: sys: what the kernel shows" "and says so"
refuse 1 "no such file" "what is not there" hc cp deb:/nowhere .
refuse 1 "no such file.*" "a directory that is not there" hc cp tree deb:/nowhere/x
hc exec deb -- mkdir -p /srv/clash/file
refuse 1 "is a directory" "a file in the place of a directory" hc cp tree/file deb:/srv/clash
refuse 1 "neither side" "two paths of the host" hc cp tree/file x
refuse 1 "not running" "into a machine that is not there" hc cp tree/file nobody:/x
refuse 1 "tar stream|archive" "what is no tar stream" bash -c 'echo rubbish | "$HC" cp - deb:/srv'

# A machine that means ill: links out of it, and a program that moves things while they are copied.
hc exec deb -- sh -c 'mkdir /srv/evil; ln -s /etc /srv/evil/etc; ln -s ../../../../../../.. /srv/evil/up; ln -s /proc/self/root /srv/evil/magic'
echo canary >canary
check "a link in the machine leads where it leads there" hc cp canary deb:/srv/evil/etc/canary
same "and not to the host" "$(test -e /etc/canary && echo host; hc exec deb -- cat /etc/canary)" canary
hc cp canary deb:/srv/evil/up/canary >out 2>&1
same "nor does one that goes up" "$(test -e /canary && echo host; hc exec deb -- cat /canary)" canary
refuse 1 "symbolic links|no such file" "a link of the kernel's leads nowhere" hc cp canary deb:/srv/evil/magic/canary
mkdir -p plain/etc && echo new >plain/etc/passwd
refuse 1 "not followed" "a directory over a link" hc cp plain/. deb:/srv/evil
same "the link's target is as it was" "$(hc exec deb -- grep -c ^root /etc/passwd)" 1
hc exec deb -- sh -c 'mkdir /srv/flip; cd /srv/flip; while :; do rm -rf a; ln -s /etc a; rm -rf a; mkdir -p a; echo x >a/passwd; done' >/dev/null 2>&1 &
flipping=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
	hc cp deb:/srv/flip got >/dev/null 2>&1
	hc cp plain/etc deb:/srv/flip/a >/dev/null 2>&1
done
kill $flipping
wait $flipping 2>/dev/null
same "what moves meanwhile leads nowhere else" "$(hc exec deb -- grep -c ^root /etc/passwd)$(cat got/a/passwd 2>/dev/null | grep -c root:)" 10
check "both ends at work" bash -c '"$HC" cp deb:/usr other:/opt/usr && "$HC" exec other -- test -x /opt/usr/bin/env'
hc cp deb:/usr - 2>/dev/null | head -c 100 >/dev/null
sleep 0.3
same "a reader that goes away leaves nobody copying" "$(pgrep -fc 'hc cp deb')" 0
finish
