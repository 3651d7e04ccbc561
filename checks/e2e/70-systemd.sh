# On a host whose process 1 is systemd: the agent is a unit, and no machine minds what becomes of it.
. "$(dirname "$0")/../lib/test.sh"

HC=$(realpath "$HC")
mkdir -p "$WORK/cloud" "$WORK/other"
host=$WORK/host
systemd() { "$top/checks/lib/systemd-host" "$@"; }
on() { systemd run "$host" "$@"; }
hc() { on "$HC" "$@"; }

describe() { # VALUE-OF-m1
	cloud <<-NIX
		{ images, lib, ... }: {
		  cloud.name = "test";
		  hosts.one = {
		    networks.lan = { };
		    machines = lib.genAttrs [ "m1" "m2" ] (name: {
		      image = images.minimal;
		      command = [ "/bin/hc" "guest" "init" ];
		      ready.when = "notify";
		      env.VALUE = if name == "m1" then "$1" else "";
		      $limits
		    });
		  };
		}
	NIX
}
pids() { hc ps --json | jq -r '.[] | select(.ready) | "\(.name) \(.pid)"' | sort; }
unit() { on systemctl show hc-agent.service --value -p "$1"; }
# Where m2 is and what it may use, as the kernel sees it.
place() {
	on bash -c 'cat /proc/'"$(machine m2 pid)"'/cgroup
		cat /sys/fs/cgroup/memory/hc.slice/m2/memory.limit_in_bytes /sys/fs/cgroup/hc.slice/m2/memory.max
		exit 0' 2>/dev/null
}
new_agent() { # OLD-PID: waits for another agent, without any command of hc that would start one
	for _ in $(seq 100); do
		case $(unit MainPID) in 0 | "$1") sleep 0.05 ;; *) return 0 ;; esac
	done
	return 1
}
seven_restarts() { for _ in 1 2 3 4 5 6 7; do hc agent restart || return; done; }
another() { # MACHINE OLD-PID
	for _ in $(seq 100); do
		pids | grep "^$1 " | grep -qvx "$1 $2" && return
		sleep 0.05
	done
	return 1
}
kill_agent() { on kill -9 "$(unit MainPID)"; }

# A machine as a unit of its own: systemd starts and stops it, and the machine is in the unit's group.
by_hand() {
	local closure=$WORK/cloud/alone.json pid
	on sh -c "sed 's/\"name\":\"m2\"/\"name\":\"alone\"/' '$(machine m2 closure)' >'$closure'"
	check "$1: a machine as a transient unit" on systemd-run --quiet --unit=hc-alone --slice=hc.slice --collect \
		-p Type=notify -p Delegate=yes -p KillMode=mixed -p TimeoutStopSec=20 "$HC" machine run --delegated "$closure"
	same "$1: systemd waited until it was ready" "$(on jq -r .phase /run/hc/machines/alone/status.json)" ready
	pid=$(on jq .payload_pid /run/hc/machines/alone/status.json)
	check "$1: it is in the unit's group" on grep -q '^0::/hc.slice/hc-alone.service/alone' "/proc/$pid/cgroup"
	check "$1: exec finds it" hc exec alone -- /bin/hc guest env HOME
	check "$1: systemctl stop" on systemctl stop hc-alone
	same "$1: it stopped as it should" "$(on jq -c '[.phase, .exit.code, .exit.requested]' /run/hc/machines/alone/status.json)" '["exited",0,true]'
	same "$1: nothing of it is left" "$(on find /sys/fs/cgroup -path '*alone*' -type d)" ""
}

# systemd-resolved asks hc, for as long as its agent runs.
resolver() {
	local name=m1.lan.one.test.internal address
	address=$("$HC" ip --json m1.lan.one.test | jq -r '.[0].ipv6')
	on systemd-sysusers systemd-resolve.conf
	on systemctl reload dbus # whose rules name that user
	hc agent stop >/dev/null
	check "$1: systemd-resolved comes up" on systemctl start systemd-resolved
	on ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
	check "$1: an agent that finds it" hc agent start
	check "$1: tells it whom to ask" within 5 on bash -c 'resolvectl domain | grep -q "hcb.*~test.internal"'
	check "$1: resolvectl asks hc" on resolvectl query "$name"
	says "$address +-- link: hcb" "$1: over the network's bridge"
	check "$1: getent over the stub" on getent -s hosts:dns ahostsv6 "$name"
	says "^$address " "$1: has the address"
	check "$1: getent over the bus" on getent -s hosts:resolve ahostsv6 "$name"
	says "^$address " "$1: has the address, too"
	check "$1: and back" on resolvectl query "$address"
	says ": $name " "$1: from the address"
	check "$1: a host's own resolver is restarted" on systemctl restart systemd-resolved
	check "$1: and knows it still" on resolvectl query "$name"
	same "$1: hc left resolv.conf alone" "$(on grep '^nameserver' /etc/resolv.conf)" "nameserver 127.0.0.53"
	hc agent stop >/dev/null
	same "$1: without an agent nobody is asked" "$(on resolvectl domain | grep -c internal)" 0
	refuse 1 "" "$1: nor answers" on resolvectl query "$name"
	hc ps >/dev/null
	check "$1: with the next one it does" within 5 on resolvectl query "$name"
	on systemctl stop systemd-resolved
	on sh -c 'rm /etc/resolv.conf && echo nameserver 192.0.2.1 >/etc/resolv.conf'
	check "$1: without it hc is in resolv.conf" hc agent restart
	check "$1: as its first name server" within 5 on bash -c 'grep -m1 "^nameserver" /etc/resolv.conf | grep -q 127.0.0.153'
}

# The power goes, and comes back: what was current runs again, without anybody's doing.
reboot() {
	local before
	mkdir -p "$host/units"
	check "$1: a host that keeps its disks" systemd boot "$host" "$1" "$top" "$(dirname "$HC")" \
		"rw:$WORK/cloud" rw:/nix rw:/var/lib/hc "rw:$host"
	describe two
	check "$1: deploy there" deploy
	check "$1: the agent is started by the boot" on systemctl is-enabled hc-agent.service
	on sh -c "cd /etc/systemd/system && cp -a --parents hc-agent.service multi-user.target.wants/hc-agent.service '$host/units/'"
	before=$(pids)
	systemd end "$host"
	check "$1: it boots again" systemd boot "$host" "$1" "$top" "$(dirname "$HC")" \
		"rw:$WORK/cloud" rw:/nix rw:/var/lib/hc "rw:$host"
	check "$1: what was current comes back" on sh -c 'for i in $(seq 200); do
		[ "$(grep -l "\"phase\":\"ready\"" /run/hc/machines/m[12]/status.json 2>/dev/null | wc -l)" = 2 ] && exit 0
		sleep 0.1; done; cat /var/lib/hc/agent.log; exit 1'
	same "$1: as it was" "$(hc exec m1 -- /bin/hc guest env VALUE)" two
	check "$1: as other processes" [ "$before" != "$(pids)" ]
	same "$1: hc finds the agent of the boot" "$(unit MainPID)" "$(agent_pid)"
	check "$1: destroy there" hc destroy --yes --keep-store
	same "$1: the next boot starts nothing" "$(on find /etc/systemd -name 'hc-*')" ""
	rm -rf "$host/units"
	systemd end "$host"
}

scenario() {
	check "$1: systemd comes up" systemd boot "$host" "$1" "$top" "$(dirname "$HC")" \
		"rw:$WORK/cloud" "$WORK/other"
	limits=
	if on bash -c 'cd /sys/fs/cgroup; [ -d memory ] || grep -qw memory cgroup.controllers'; then
		limits='limits.memory = "64M";'
	fi
	describe one
	on mkdir -p /run/hc/agent.lock # where a file has to be
	refuse 8 'agent\.lock' "$1: an agent that cannot start says why" hc agent start
	on rmdir /run/hc/agent.lock
	check "$1: first deploy" deploy
	local before where old
	before=$(pids)
	same "$1: both machines are ready" "$(wc -l <<<"$before")" 2
	same "$1: the agent is a unit" "$(unit ActiveState) $(unit MainPID)" "active $(agent_pid)"
	same "$1: and nothing on the host has failed" "$(on systemctl is-system-running)" running
	where=$(place)
	grep -q ':/hc.slice/m2$' <<<"$where" || not_ok "$1: m2 is not in its group: $where"

	check "$1: systemctl restart" on systemctl restart hc-agent
	same "$1: touches no machine" "$(pids)" "$before"
	check "$1: daemon-reload" on systemctl daemon-reload
	check "$1: a limit for the agent" on systemctl set-property --runtime hc-agent MemoryMax=1G CPUWeight=50
	check "$1: daemon-reexec" on systemctl daemon-reexec
	same "$1: touch no machine" "$(pids)" "$before"
	same "$1: nor their control groups" "$(place)" "$where"

	old=$(unit MainPID)
	check "$1: agent killed" kill_agent
	check "$1: comes back by itself" new_agent "$old"
	same "$1: touched no machine" "$(pids)" "$before"
	kill_agent
	check "$1: hc right after a kill" hc ps
	check "$1: agent restarted more often than systemd would" seven_restarts
	same "$1: touched no machine" "$(pids)" "$before"
	check "$1: systemctl stop" on systemctl stop hc-agent
	check "$1: m1 and m2 run without an agent" on kill -0 $(cut -d' ' -f2 <<<"$before")
	check "$1: the next command starts it" hc ps
	same "$1: and it is the unit" "$(unit MainPID)" "$(agent_pid)"
	check "$1: agent stop" hc agent stop
	same "$1: stays stopped" "$(unit ActiveState)" inactive
	cp "$HC" "$WORK/other/h c%n\$HOME"
	check "$1: another hc takes over" on "$WORK/other/h c%n\$HOME" agent restart
	same "$1: runs from where it is" "$(on readlink "/proc/$(unit MainPID)/exe")" "$WORK/other/h c%n\$HOME"
	same "$1: touched no machine" "$(pids)" "$before"
	check "$1: and back" hc agent restart

	describe two
	check "$1: deploy of a change" deploy
	same "$1: m2 keeps its process" "$(pids | grep m2)" "$(grep m2 <<<"$before")"
	same "$1: m1 sees it" "$(hc exec m1 -- /bin/hc guest env VALUE)" two
	check "$1: rollback" hc rollback
	same "$1: m2 keeps its process" "$(pids | grep m2)" "$(grep m2 <<<"$before")"
	old=$(machine m1 pid)
	on kill -9 "$old"
	check "$1: a machine that dies is started again" another m1 "$old"

	by_hand "$1"
	resolver "$1"
	check "$1: destroy" hc destroy --yes
	same "$1: leaves no unit" "$(unit LoadState)" not-found
	same "$1: no unit file" "$(on find /run/systemd/system /run/systemd/transient /etc/systemd -name '*hc-*')" ""
	same "$1: no process" "$(on pgrep -f "machine run|hc agent" || true)" ""
	same "$1: no control group of a machine" "$(on find /sys/fs/cgroup -path '*hc.slice/*' -type d)" ""
	same "$1: and nothing that failed" "$(on systemctl is-system-running)" running
	check "$1: deploy on the same host again" deploy
	same "$1: both machines are ready" "$(pids | wc -l)" 2
	hc destroy --yes >"$WORK/out" 2>&1
	systemd end "$host"
	reboot "$1"
	same "$1: the host left nothing" "$(find /sys/fs/cgroup -name 'hc-systemd-*' | wc -l)" 0
}

mkdir -p "$host/debs"
cp "${RESOLVED_DEBS:?packages of systemd-resolved}"/*.deb "$host/debs/"
trap 'systemd end "$host" >/dev/null 2>&1' EXIT
# Process 1 of version 256 and later does without version 1 of control groups.
version=$(systemctl --version | sed -nE '1s/^systemd ([0-9]+).*/\1/p')
if grep -q ' - cgroup ' /proc/self/mountinfo && [ "$version" -lt 256 ]; then scenario hybrid; fi
# Beside version 1, version 2 has no controllers: it is about where processes are, not limits.
if grep -q ' - cgroup2 ' /proc/self/mountinfo; then scenario unified; fi
[ "$passed" -gt 0 ] || not_ok "there are no control groups"
hc() { :; } # there is no host left to take anything from
finish
