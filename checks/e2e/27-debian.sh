# Debian images of several releases from their locks, with users and files of their own: built twice
# with the same bytes, and run.
. "$(dirname "$0")/../lib/test.sh"

mkdir -p "$WORK/cloud"
cp "${DEBIAN_LOCKS:?lock files of Debian releases}"/*.lock.json "$WORK/cloud"
key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKi1 ada@home"
# shellcheck disable=SC2016 # a hash
hash='$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g.'
describe() {
	cloud <<-NIX
		{ images, ... }:
		let
		  users.ada = { uid = 1000; groups = [ "sudo" ]; sshKeys = [ "$key" ]; passwordHash = "$hash"; comment = "Ada"; };
		  users.root.sshKeys = [ "$key" ];
		  files."/etc/motd" = { text = "welcome\n"; mode = "0600"; uid = 1000; };
		  image = suite: name: images.debianWith { lock = ./. + "/\${suite}.lock.json"; inherit name users files; };
		  machine = suite: name: { image = image suite name; command = [ "/bin/sleep" "1000" ]; };
		in {
		  cloud.name = "test";
		  hosts.one.networks.lan = { };
		  hosts.one.machines = {
		    bookworm = machine "bookworm" "debian";
		    trixie = machine "trixie" "debian";
		    again = machine "trixie" "again";
		    sid = machine "sid" "debian";
		    init = {
		      image = images.debianWith { lock = ./init.lock.json; name = "init"; };
		      command = [ "/lib/systemd/systemd" ]; init = true; stop.signal = "RTMIN+3";
		      isolation.addCapabilities = [ "SYS_ADMIN" ];
		    };
		    $1
		  };
		}
	NIX
}
describe ""
check "deploy" deploy
for suite in bookworm trixie sid; do
	check "$suite is $suite" bash -c '"$HC" exec "$1" -- cat /etc/os-release | grep -Eq "(VERSION_CODENAME|PRETTY_NAME)=.*$1"' - "$suite"
	same "$suite: its user" "$(hc exec "$suite" -- id ada)" "uid=1000(ada) gid=1000(ada) groups=1000(ada),27(sudo)"
	same "$suite: may use sudo's group" "$(hc exec -u ada "$suite" -- sh -c 'id -Gn; cd; pwd; echo ~')" "$(printf 'ada sudo\n/home/ada\n/home/ada')"
	same "$suite: the key" "$(hc exec "$suite" -- cat /home/ada/.ssh/authorized_keys) $(hc exec "$suite" -- stat -c '%a %U' /home/ada/.ssh/authorized_keys)" "$key 600 ada"
	check "$suite: root's key" hc exec "$suite" -- test -s /root/.ssh/authorized_keys
	same "$suite: the hash" "$(hc exec "$suite" -- getent shadow ada | cut -d: -f2)" "$hash"
	check "$suite: its tools find no fault" hc exec "$suite" -- sh -c '[ "$(passwd -S ada | cut -d" " -f2)" = P ] && ! { pwck -r; grpck -r; } 2>&1 | grep -E "ada|root|sudo"'
	check "$suite: nor does dpkg" bash -c '[ -z "$("$HC" exec "$1" -- dpkg --audit)" ]' - "$suite"
	same "$suite: the file" "$(hc exec "$suite" -- stat -c '%a %u' /etc/motd)" "600 1000"
	check "$suite: the package" hc exec "$suite" -- test -u /usr/bin/sudo
done
running() { for _ in $(seq 150); do hc exec init -- systemctl is-system-running | grep -q running && return; sleep 0.2; done; hc logs init; hc exec init -- systemctl --no-pager --failed; return 1; }
check "systemd is process 1 and comes up without a fault" running
check "it runs a service in a group of its own" hc exec init -- systemctl start systemd-journald
check "its journal is read" hc exec init -- journalctl --no-pager -n 1
check "it halts when it is asked to stop" hc stop init
check "by itself" bash -c 'hc() { "$HC" "$@"; }; ! hc logs init | grep -q "did not stop in time"'
image() { hc image ls --json | jq -r --arg n "$1" '.[] | select(.machines == [$n]) | .path'; }
check "built twice, the bytes are the same" cmp "$(image trixie)/rootfs.erofs" "$(image again)/rootfs.erofs"

bad() {
	describe "bad = { image = images.debianWith { lock = ./sid.lock.json; $1 }; command = [ \"x\" ]; };"
	refuse "$2" "$3" "$4" deploy
}
bad 'users.eve = { };' 4 'users.*eve.*no uid' "a user without a number is refused"
bad 'users.eve = { uid = 1000; groups = [ "none" ]; };' 4 'no group .none.' "one in no group"
bad 'users.eve.uid = 70000;' 3 'users.eve.uid' "a number that is none, when it is evaluated"
bad 'user.eve.uid = 7;' 3 "user.*does not exist" "an option that is none"
finish
