# The demo as a person runs it, and what must hold after each step. It ends with an empty store, hence:
# own store
. "$(dirname "$0")/../lib/test.sh"

rm -f /nix/var/nix/gcroots/auto/* # what keeps the images for the other tests

check "the demo runs from start to end" "$top/checks/demo/run"
cp "$WORK/out" "$WORK/demo.txt"
check "the plan named web, and only web" grep -Eq 'restart +web' "$WORK/demo.txt"
check "the second deploy made no change" grep -Eqi 'no changes|nothing to do' "$WORK/demo.txt"
check "the client reached web by name" bash -c 'for i in 1 2 3 4 5 6 7 8 9 10; do "$HC" logs client | grep -q 200 && exit 0; sleep 1; done; exit 1'
same "all three are ready" "$(hc ps --json | jq '[.[] | select(.ready)] | length')" 3
check "exec runs in the machine" bash -c '"$HC" exec web -- hostname | grep -qx web'
refuse 7 "" "exec hands the exit code on" hc exec web -- sh -c 'exit 7'
check "exec -t has a real terminal" bash -c \
	'script -qec "stty rows 33 cols 99; $HC exec -it web -- sh -c \"tty && stty size\"" /dev/null | tr -d "\r" | tee /dev/stderr | grep -qx "33 99"'
check "logs -f goes on as it happens" bash -c \
	'timeout 12 "$HC" logs -n 0 -f client | head -1 | grep -q 200'
check "a machine resolves another by short name" hc exec client -- getent ahostsv6 web
check "a machine has the name's deterministic address" bash -c \
	'[ "$("$HC" exec client -- getent ahostsv6 web | head -1 | cut -d" " -f1)" = fd05:e5f6:4670:88b9:daa:f3e6:5963:6eb5 ]'
check "the demo cleans up after itself" "$top/checks/demo/clean"
same "no link is left" "$(ip -o link | grep -c ': hc')" 0
same "no rule is left" "$(nft list ruleset | wc -l)" 0
same "no process is left" "$(pgrep -fc "$HC (agent|machine)")" 0
check "the resolver is as it was" grep -qx "nameserver 192.0.2.1" /etc/resolv.conf
same "no cgroup is left" "$(find /sys/fs/cgroup -regex '.*hc.slice/\(web\|client\|minimal\)' | wc -l)" 0
same "no store path is left" "$(find /nix/store -mindepth 1 -maxdepth 1 -not -name .links | wc -l)" 0
same "no state is left" "$(find /var/lib/hc /run/hc -mindepth 1 2>/dev/null | wc -l)" 0
finish
