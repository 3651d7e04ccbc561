# A microVM beside a container, from a deploy until nothing is left: names, sessions, logs, restarts.
. "$(dirname "$0")/../lib/test.sh"

: "${KERNEL_DEB:?a package of a Debian kernel}"
# What hangs is a failure of its own, and the rest is still to be seen.
hc() { timeout 200 "$HC" "$@"; }
before=$(footprint)
mkdir -p "$WORK/cloud" && cp "$KERNEL_DEB" "$WORK/cloud/kernel.deb"
# shellcheck disable=SC2016 # the machine's
payload='echo up; echo oops >&2; nginx -e stderr -c /etc/site.conf; trap "echo bye; exit 3" TERM; while :; do sleep 5 & wait $!; done'
# describe MOTD [VM]: the cloud with that in the virtual machine's /etc/motd.
describe() {
	cloud <<-NIX
		{ images, ... }:
		let
		  site = {
		    image = images.debian;
		    command = [ "/bin/bash" "-c" ''$payload'' ];
		    files."/etc/site.conf".text = ''
		      user www-data; worker_processes 1; pid /run/nginx.pid; error_log stderr warn;
		      events { }
		      http { access_log off; server { listen 80; listen [::]:80; root /srv/www; } }
		    '';
		    ready = { when = "tcp"; port = 80; timeoutSec = 150; };
		    stop.timeoutSec = 30;
		    env.GREETING = "hello";
		  };
		in {
		  cloud.name = "test";
		  hosts.here.networks.lan = { };
		  hosts.here.machines.web = site // { files = site.files // { "/srv/www/index.html".text = "I am web\n"; }; };
		  hosts.here.machines.db = site // {
		    kind = "microvm";
		    vm = { kernel = images.kernel { src = ./kernel.deb; }; layerSize = "1G"; ${2-} };
		    files = site.files // { "/srv/www/index.html".text = "I am db\n"; "/etc/motd".text = "$1\n"; };
		  };
		}
	NIX
}
describe first 'vcpus = 0;'
refuse 3 "vm.vcpus" "a machine without processors" hc plan "path:$WORK/cloud"
describe first
check "a container and a microVM are deployed" deploy
same "the container is ready" "$(machine web phase)" ready
same "and the microVM" "$(machine db phase)" ready
fetch() { hc exec "$1" -- curl -s --max-time 30 "http://$2/"; }
same "the container reaches the microVM by name" "$(fetch web db)" "I am db"
same "the microVM reaches the container" "$(fetch db web)" "I am web"
same "and by IPv4" "$(hc exec db -- curl -4 -s --max-time 30 http://web/)" "I am web"
same "it has the address of its name" "$(hc exec web -- getent ahostsv6 db | awk 'NR == 1 { print $1 }')" "$(machine db 'addresses[0]')"

pid=$(machine db pid)
status() { awk -v f="$1:" '$1 == f { print $2 }' "/proc/$pid/status"; }
check "QEMU is a user of its own" test "$(status Uid)" -ge $((0x10000000))
same "without capabilities" "$(status CapEff)$(status CapBnd)" "00000000000000000000000000000000"
same "with a system call filter, and no way to more" "$(status Seccomp)$(status NoNewPrivs)" 21
same "in a network of its own" "$(nsenter -t "$pid" -n ip -o link | wc -l)" 1
same "and sees nothing of the host's files" "$(ls "/proc/$pid/root/var" "/proc/$pid/root/home" "/proc/$pid/root/proc" 2>/dev/null | wc -l)" 0

# Sessions.
same "exec runs in it" "$(hc exec db -- hostname)" db
refuse 7 "" "exec hands the exit code on" hc exec db -- sh -c 'exit 7'
refuse 137 "" "and a signal" hc exec db -- sh -c 'kill -9 $$'
refuse 1 "no-such-program" "what is not there is said" hc exec db -- no-such-program
same "it has the machine's variables, and its own" "$(hc exec -e OWN=x db -- sh -c 'echo $GREETING $OWN')" "hello x"
same "another user" "$(hc exec -u www-data -w /srv db -- sh -c 'id -un; pwd' | xargs)" "www-data /srv"
head -c 5000000 /dev/urandom >"$WORK/blob"
check "input and output pass whole, megabytes of them" bash -c '"$HC" exec -i db -- cat <"$WORK/blob" | cmp - "$WORK/blob"'
check "a terminal of the right size" bash -c \
	'script -qec "stty rows 33 cols 99; $HC exec -it db -- sh -c \"tty && stty size\"" /dev/null | tr -d "\r" | tee /dev/stderr | grep -qx "33 99"'
check "twenty sessions at once" bash -c 'for i in $(seq 20); do "$HC" exec db -- sh -c "sleep 0.3; exit $i" & p="$p $!"; done; i=0; for q in $p; do i=$((i + 1)); wait "$q"; [ $? = $i ] || exit 1; done'
check "a reader that leaves ends what writes" timeout 30 bash -c '"$HC" exec db -- yes | head -1; for i in $(seq 50); do "$HC" exec db -- pidof yes >/dev/null || exit 0; sleep 0.2; done; exit 1'
same "its file is there" "$(hc exec db -- cat /etc/motd)" first
hc logs db >"$WORK/out"
says '^up$|up$' "the log has what it wrote"
says 'oops' "on both streams"
check "its console is kept" test -s /var/lib/hc/machines/db/log/console
hc exec db -- sh -c 'echo here it is >/dev/console'
check "and shown, until its key is typed" timeout 60 bash -c \
	'set -o pipefail; (sleep 2; printf "\035"; sleep 5) | script -qec "$HC console db" /dev/null | tee /dev/stderr | grep "here it is" >/dev/null'
refuse 1 "is a container and has no console" "a container has none" hc console web

# What changes what.
hc exec db -- sh -c 'echo kept >/root/kept'
check "the same again" deploy
same "leaves it as it is" "$(machine db pid)" "$pid"
check "a restart" hc restart db
check "makes it anew" test "$(machine db pid)" != "$pid"
hc logs db >"$WORK/out"
says 'bye' "after it has had time to end"
says 'exit status 3' "and has said how"
same "what it wrote is still there" "$(hc exec db -- cat /root/kept)" kept
pid=$(machine db pid)
kill "$(agent_pid)"
sleep 1
check "the agent is started again" hc agent start
same "and finds it as it was" "$(machine db pid)" "$pid"
same "and its sessions" "$(hc exec db -- echo still here)" "still here"
describe second
check "another description" deploy
same "is another machine" "$(hc exec db -- cat /etc/motd)" second
refuse 1 "" "without what was written before" hc exec db -- test -e /root/kept
check "the old one comes back" hc rollback
same "with what it says" "$(hc exec db -- cat /etc/motd)" first

supervisor=$(jq .supervisor_pid /run/hc/machines/db/status.json)
pid=$(machine db pid)
kill -9 "$supervisor"
check "without its supervisor it ends" bash -c 'for i in $(seq 100); do [ -d /proc/'"$pid"' ] || exit 0; sleep 0.1; done; exit 1'
check "and is started again" bash -c 'for i in $(seq 300); do [ "$("$HC" ps --json | jq -r ".[] | select(.name == \"db\") | .phase")" = ready ] && exit 0; sleep 0.5; done; exit 1'
check "it is stopped" hc stop db
same "and nothing of it runs" "$(pgrep -c qemu-system)" 0
check "everything is taken away" hc destroy --yes --keep-store
same "and nothing is left" "$(footprint | grep -Ev 'processes|cgroups')" "$(echo "$before" | grep -Ev 'processes|cgroups')"
same "no control group either" "$(find /sys/fs/cgroup -path '*hc.slice/db' | wc -l)" 0
finish
