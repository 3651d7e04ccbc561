# Sourced by end-to-end tests of several hosts: each has a network, mounts and state of its own, and they
# are on one wire, the bridge `sw`.
# shellcheck shell=bash

declare -A pids
ip link add sw type bridge && ip link set sw up

host() { # NAME LAST-BYTE
	unshare --net --mount sleep infinity &
	pids[$1]=$!
	while [ "$(readlink "/proc/${pids[$1]}/ns/net")" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
	ip link add "to-$1" type veth peer name up0 netns "${pids[$1]}"
	ip link set "to-$1" master sw up
	echo "nameserver 192.0.2.99" >"/run/resolv-$1"
	on "$1" sh -c "ip link set lo up; ip addr add 192.0.2.$2/24 dev up0; ip link set up0 up
		mount --bind /run/resolv-$1 /etc/resolv.conf"
}
on() { nsenter --net --mount --target "${pids[$1]}" "${@:2}"; }
hc_on() { on "$1" "$HC" --state-dir "/var/lib/hc/$1" --run-dir "/run/hc-$1" "${@:2}"; }

# listen NAME…: the hosts take root's key over ssh, and have hc.
listen() {
	mkdir -p /run/sshd
	for key in host user; do ssh-keygen -q -t ed25519 -N '' -f "$WORK/$key"; done
	local name
	for name in "$@"; do
		mkdir -p "$WORK/$name-bin"
		printf '#!/bin/sh\nexec %s "$@" --state-dir /var/lib/hc/%s --run-dir /run/hc-%s\n' "$HC" "$name" "$name" \
			>"$WORK/$name-bin/hc"
		chmod 755 "$WORK/$name-bin/hc"
		cat >"$WORK/$name.sshd" <<-END
			HostKey $WORK/host
			AuthorizedKeysFile $WORK/user.pub
			StrictModes no
			UsePAM no
			PidFile none
			SetEnv PATH=$WORK/$name-bin:/usr/bin:/bin
		END
		on "$name" /usr/sbin/sshd -D -e -f "$WORK/$name.sshd" >"$WORK/$name.sshd.log" 2>&1 &
		for _ in $(seq 100); do grep -qs listening "$WORK/$name.sshd.log" && break; sleep 0.1; done
	done
	cat >"$WORK/ssh_config" <<-END
		StrictHostKeyChecking accept-new
		UserKnownHostsFile $WORK/known
		IdentityFile $WORK/user
		LogLevel ERROR
	END
	export NIX_SSHOPTS="-F $WORK/ssh_config"
}

# A cloud of the two hosts east and west: near is on `lan` of the one, far on that of the other, hidden on `back`.
two_hosts() { # SSH-OF-west, ALIAS-OF-near
	cloud <<-NIX
		{ images, ... }:
		let
		  site = import ./site.nix images;
		in {
		  cloud.name = "test";
		  overlay.mode = "wireguard";
		  hosts.east = {
		    address = "192.0.2.1";
		    networks = { lan = { }; back = { }; };
		    machines.near = site [ "lan" ] // { aliases = [ "$2" ]; };
		  };
		  hosts.west = {
		    address = "192.0.2.2";
		    ssh = "$1";
		    networks = { lan = { }; back = { }; };
		    machines.far = site [ "lan" ];
		    machines.hidden = site [ "back" ];
		  };
		}
	NIX
}

# The same cloud in $WORK/double, with other machines on west: the test's hosts have their control groups in common.
other_machines() {
	rm -rf "$WORK/double" && cp -r "$WORK/cloud" "$WORK/double"
	sed -i 's/machines\.far/machines.other/; s/machines\.hidden/machines.veiled/' "$WORK/double/cloud.nix"
}
deploy_on() { hc_on "$1" deploy --host "$1" "path:$WORK/cloud"; }
get() { hc_on "$1" exec "$2" -- curl -sS --max-time "${4:-1}" "http://[$3]/"; }
address_of() { "$HC" ip --json "$1" | jq -r '.[0].ipv6'; }
