# What a container can do for its user, a microVM can: shells, files, questions whether it works, and how it
# ended.
. "$(dirname "$0")/../lib/test.sh"
. "$(dirname "$0")/../lib/wire.sh"
. "$(dirname "$0")/../lib/inside.sh"

: "${KERNEL_DEB:?a package of a Debian kernel}"
# What hangs is a failure of its own, and the rest is still to be seen.
hc() { timeout 200 "$HC" "$@"; }
wire
mkdir -p "$WORK/cloud" && cp "$KERNEL_DEB" "$WORK/cloud/kernel.deb"
cloud <<-'NIX'
	{ images, ... }: {
	  cloud.name = "test";
	  hosts.one.networks.lan = { };
	  hosts.one.machines.db = {
	    kind = "microvm";
	    image = images.debian;
	    vm = { kernel = images.kernel { src = ./kernel.deb; }; layerSize = "1G"; };
	    command = [ "/usr/sbin/nginx" "-e" "stderr" "-c" "/etc/site.conf" ];
	    files."/etc/site.conf".text = ''
	      daemon off; user www-data; worker_processes 1; pid /run/nginx.pid; error_log stderr warn;
	      events { worker_connections 64; }
	      http { access_log off; server { listen 127.0.0.1:80; root /srv/www; } }
	    '';
	    files."/srv/www/up".text = "yes";
	    ready = { when = "http"; port = 80; path = "/up"; timeoutSec = 150; };
	    health = { port = 80; path = "/up"; intervalSec = 1; timeoutSec = 20; failures = 2; };
	    restart.delayMs = 10;
	    lan.wire0 = { addresses = [ "192.0.2.7/24" ]; gateways = [ "192.0.2.9" ]; };
	    stop.timeoutSec = 30;
	  };
	}
NIX
check "deploy waits for an answer by HTTP" deploy
same "it is ready" "$(machine db phase)" ready

# --- A wire of the host's.
check "it is a computer on a wire of the host" hc exec db -- curl -sS --max-time 20 http://203.0.113.1/
same "under the MAC that follows from its name" "$(far ip neigh show 192.0.2.7 | grep -o 'lladdr [^ ]*')" \
	"lladdr $(hc ip db --json | jq -r '.[] | select(.lan == "wire0").mac')"
same "and nothing of it is left on the host's side" "$(ip -o link show type macvtap)" ""

# --- Shells.
shells db
check "on a terminal it has one, of the terminal's size and kind" bash -c \
	'(sleep 2; echo "tty; stty size; echo \$TERM"; sleep 1; echo exit) | TERM=vt220 script -qec "stty rows 33 cols 99; $HC shell db" /dev/null | tr -d "\r" | tee /dev/stderr | grep -A2 /dev/pts/ | grep -A1 -x "33 99" | grep -qx vt220'
check "and is told when that changes" timeout 60 bash -c \
	'script -qec "stty rows 33 cols 99; (sleep 3; stty -F /dev/tty rows 44 cols 88) & $HC exec -it db -- bash -c \"trap \\\"stty size; exit\\\" WINCH; while :; do sleep 0.1; done\"" /dev/null | tr -d "\r" | tee /dev/stderr | grep -q "44 88$"'

# --- Files.
cd "$WORK" || exit 1
copied_in db
check "out of the machine" hc cp db:/srv/kept back
same "it is what went in" "$(sum back)" "$(sum tree)"
tar -c tree | hc cp - db:etc >out 2>&1
same "as tar streams, and from the root" "$(hc cp db:etc/tree/file - | tar -xO)" text
check "of what the kernel shows, no file" hc cp db:/proc/sys kernel
says "warning: db: sys: what the kernel shows" "and says so"
refuse 1 "db: cannot open /nowhere: no such file" "what is not there is named" hc cp db:/nowhere .
refuse 1 "cannot copy to /nowhere/x: cannot open /nowhere: no such file" "a directory too" hc cp tree db:/nowhere/x
hc exec db -- sh -c 'mkdir -p /srv/clash/file /srv/evil; ln -s /etc /srv/evil/etc; cp /etc/passwd /root/passwd'
refuse 1 "/srv/clash/file: it is a directory" "a file in the place of a directory" hc cp tree/file db:/srv/clash
mkdir -p plain/etc && echo new >plain/etc/passwd
refuse 1 "/srv/evil/etc: .*not" "a directory over a link" hc cp plain/. db:/srv/evil
check "the link's target is as it was" hc exec db -- cmp /etc/passwd /root/passwd
refuse 1 "no tar stream" "what is no tar stream" bash -c 'head -c 600 /dev/urandom | "$HC" cp - db:/srv'
hc cp db:/usr - 2>/dev/null | head -c 100 >/dev/null
check "a reader that goes away leaves nobody packing" bash -c 'for i in $(seq 50); do [ "$("$HC" exec db -- sh -c "ls -d /proc/[0-9]*/exe | xargs -n1 readlink | grep -c ^/init")" -le 1 ] && exit; sleep 0.2; done; exit 1'

# --- Whether it works, and how it ended.
waits() { # WHAT JQ-CONDITION
	check "$1" bash -c 'for i in $(seq 400); do "$HC" ps --json | jq -e "[.[] | select(.name == \"db\") | select($1)] | length > 0" | grep -qx true && exit 0; sleep 0.2; done; "$HC" ps; exit 1' _ "$2"
}
hc exec db -- rm /srv/www/up
waits "two bad answers end it, and it is started again" '.restarts == 1 and (.exit.unhealthy | test("http://localhost:80/up: status 404"))'
waits "its files are laid anew, and it is well" '.ready'
hc exec db -- sh -c 'echo c >/proc/sysrq-trigger' >/dev/null 2>&1
waits "its kernel's panic is told" '.restarts == 2 and .exit.fault == "panic" and (.exit.error | test("its kernel panicked: sysrq triggered crash"))'
check "ps" hc ps
says "its kernel panicked: sysrq" "says so"
waits "it is started again" '.ready'
kill -9 "$(machine db pid)"
waits "QEMU's end is told apart" '.restarts == 3 and .exit.fault == "qemu" and (.exit.error | test("QEMU was killed .signal 9."))'

# --- Throw-away ones.
waits "and it is well" '.ready'
piped=0
out=$(echo piped | hc run --vm db -- sh -c 'cat; uname -r; echo err >&2; getent ahostsv6 db >/dev/null && echo named; exit 7' 2>/dev/null) || piped=$?
same "a throw-away microVM has its streams, a kernel and a network, and hands its exit code on" \
	"$(sed '2s/.*-cloud-amd64.*/kernel/' <<<"$out" | xargs) $piped" "piped kernel named 7"
check "of one that is on its wire nothing is told" hc status db
silent "cut off" "of it"
ip link del wire0
check "of one whose wire went" hc status db
says '^ +cut off +from wire0: `hc restart db`' "it is, and what helps"
check "stop" hc stop db
before=$(footprint | grep -v processes)
refuse 137 "ran out of memory" "its memory is its own, and what ran out of it is told" hc run --vm --memory 128M --no-network db -- tail /dev/zero
check "on a terminal it has one" bash -c \
	'script -qec "stty rows 33 cols 99; $HC run --vm --no-network db -- sh -c \"tty && stty size\"" /dev/null | tr -d "\r" | tee /dev/stderr | grep -q "33 99$"'
refuse 2 "cannot be used with" "what it cannot have is refused" hc run --vm --bind /srv:/srv db -- true
same "nothing of all that is left" "$(footprint | grep -v processes)" "$before"
same "nor on disk, nor a process" "$(ls /var/lib/hc/machines) $(pgrep -c qemu-system)" "db 0"
finish
