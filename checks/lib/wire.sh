# Sourced by end-to-end tests with a wire that is not hc's.
# shellcheck shell=bash

# wire: a link of the host's, wire0, and at its other end a computer that routes to another network.
wire() {
	unshare --net sleep infinity &
	far=$!
	while [ "$(readlink "/proc/$far/ns/net")" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
	ip link add wire0 type veth peer name far0 netns "$far"
	ip addr add 192.0.2.1/24 dev wire0 && ip link set wire0 up
	far sh -c 'ip link set lo up && ip link set far0 up && ip addr add 192.0.2.9/24 dev far0 &&
		ip addr add 2001:db8::9/64 dev far0 nodad && ip addr add 203.0.113.1/32 dev lo'
	mkdir -p "$WORK/elsewhere"
	(cd "$WORK/elsewhere" && exec nsenter --net --target "$far" \
		python3 -m http.server --bind 203.0.113.1 80 >/dev/null 2>&1) &
}
far() { nsenter --net --target "$far" "$@"; }
