# A NixOS system straight off the store: no copy of it is made, its machine sees the paths of its
# closure and no others, and its init is process 1. There is no nixpkgs here: the system is a
# derivation of the shape that `system.build.toplevel` has, made with busybox.
# own store
. "$(dirname "$0")/../lib/test.sh"

mkdir -p "$WORK/cloud/bin"
cp /bin/busybox "$WORK/cloud/bin/busybox"
describe() {
	cloud <<-NIX
		{ images, ... }:
		let
		  busybox = "\${builtins.path { path = ./bin; name = "busybox"; }}/busybox";
		  make = name: script: derivation {
		    inherit name;
		    system = "x86_64-linux";
		    builder = busybox;
		    args = [ "sh" "-c" "export PATH=/bin; b=\${busybox}; \${script}" ];
		  };
		  # What the system links to, and nothing of it is in the system itself.
		  path = make "system-path" ''
		    \$b mkdir -p \$out/bin; for p in sh sleep cat id ls mount touch readlink; do \$b ln -s \$b \$out/bin/\$p; done
		  '';
		  motd = builtins.toFile "motd" "$1\n";
		  # Stage 2: /run/current-system, then /etc, then the init system.
		  stage2 = builtins.toFile "stage-2-init.sh" ''
		    PATH=\$1/sw/bin
		    echo "stage 2 of \$1 as process \$\$ in \$container"
		    \${busybox} ln -sfn "\$1" /run/current-system
		    \${busybox} cp -a "\$1/etc/." /etc
		    exec "\$1/systemd"
		  '';
		  init = builtins.toFile "init-system.sh" ''
		    trap "echo halting; exit 0" 37
		    echo "booted: \$(cat /etc/motd)"
		    while :; do sleep 1 & wait \$!; done
		  '';
		  toplevel = make "nixos-system-test" ''
		    \$b mkdir -p \$out/etc
		    \$b ln -s \${path} \$out/sw
		    \$b ln -s \${motd} \$out/etc/motd
		    echo "root:x:0:0::/root:/run/current-system/sw/bin/sh" > \$out/etc/passwd
		    \$b printf '#!%s sh\nexec %s sh %s %s\n' \$b \$b \${stage2} \$out > \$out/init
		    \$b printf '#!%s sh\nexec %s sh %s\n' \$b \$b \${init} > \$out/systemd
		    \$b chmod +x \$out/init \$out/systemd
		  '';
		  other = builtins.toFile "not-in-the-closure" "x";
		in {
		  cloud.name = "test";
		  hosts.one.networks.lan = { };
		  hosts.one.machines = {
		    nixos.image = images.nixos toplevel;
		    plain = { image = images.nixos toplevel; isolation.userNamespace = false; $2 };
		    outsider = { image = images.minimal; command = [ "/bin/hc" "machine" "probe" ]; restart.policy = "never"; files."/other".source = other; };
		  };
		}
	NIX
}
logged() { for _ in $(seq 50); do hc logs "$1" 2>&1 | grep -q "$2" && return; sleep 0.1; done; hc logs "$1"; return 1; }
describe first
check "deploy" deploy
check "the system's init is process 1 of the machine" logged nixos "stage 2 of /nix/store/.*-nixos-system-test as process 1 in hc"
check "and becomes the init system" logged nixos "booted: first"
check "exec finds the system's programs" hc exec nixos -- sh -c 'cat /etc/motd && id -u'
says '^first$' "and runs them in it"
check "the store's files are root's" bash -c '[ "$("$HC" exec nixos -- sh -c "ls -ldn /nix/store/*-busybox" | tr -s " " | cut -d" " -f3)" = 0 ]'
image=$(hc image ls --json | jq -r '.[] | select(.machines == ["nixos", "plain"]) | .path')
toplevel=$(jq -r .origin.toplevel "$image/manifest.json")
closure=$(nix-store --query --requisites "$toplevel" | sort | tr '\n' ' ')
same "the machine sees the closure and nothing else of the store" \
	"$(hc exec nixos -- sh -c 'ls -d /nix/store/*' | sort | tr '\n' ' ')" "$closure"
same "there is no more than that outside, either" "$(hc exec nixos -- ls /run)" "current-system"
check "ls counts the closure, inspect names it" bash -c '
	"$HC" image ls --json | jq -e ".[] | select(.path == \"$1\" and .kind == \"nixos\" and .size > 1000000)" &&
		"$HC" image inspect "$1" | grep -q "^closure *[0-9]* paths$"' - "$image"
check "the closure is larger than what is written of it" bash -c '[ "$(stat -c %s "$1/rootfs.erofs")" -lt 100000 ]' - "$image"
refuse 1 "read-only" "nothing can be written to a path of the store" hc exec nixos -- sh -c 'echo x >>"$(readlink /run/current-system)/init"'
refuse 1 "read-only" "not even by the host's root" hc exec plain -- sh -c 'echo x >>"$(readlink /run/current-system)/init"'
check "its own files can" hc exec nixos -- touch /var/mine

describe first 'isolation.addCapabilities = [ "SYS_ADMIN" ];'
check "with the right to mount" deploy
check "the store stays read-only" hc exec plain -- sh -c \
	'd=$(readlink /run/current-system); mount -o remount,rw,bind "$d" && ! touch "$d/x"'

describe second
check "a new generation of the system" deploy
check "runs" logged nixos "booted: second"
check "two systems share most of what they take" bash -c \
	'"$HC" image ls --json | jq -e "[.[] | select(.kind == \"nixos\" and .shared * 10 > .size * 9)] | length == 2"'
check "a collection keeps what machines run from" hc gc
check "and what they can go back to" hc exec nixos -- cat /etc/motd
check "rollback" hc rollback
check "runs the first again" bash -c 'for _ in $(seq 50); do [ "$("$HC" exec nixos -- cat /etc/motd)" = first ] && exit; sleep 0.1; done; exit 1'
check "the system's own signal stops it" hc stop nixos
check "and it halts by itself" logged nixos "halting"
check "destroy" hc destroy --yes --keep-store
check "then a collection takes the system" hc gc
check "all of it" bash -c '! [ -e "$1" ] && ! [ -e "$2" ]' - "$toplevel" "$image"
finish
