# Sourced by measure.sh: the same program from the same files, run by others.
# shellcheck shell=bash

# unpack EROFS: the image as a bundle that crun and systemd-nspawn can run.
unpack() {
	mkdir -p "$WORK/bundle"
	fsck.erofs --extract="$WORK/bundle/rootfs" "$1" >"$WORK/extract.log" 2>&1
	(cd "$WORK/bundle" && crun spec)
}

# payload CLOSURE: crun runs what that machine runs.
payload() {
	jq --slurpfile machine "$1" '.process.terminal = false | .root.readonly = false | .process.args = $machine[0].command' \
		"$WORK/bundle/config.json" >"$WORK/config.json"
	mv "$WORK/config.json" "$WORK/bundle/config.json"
}

crun_host=$top/checks/bench/crun-host

crun_name() { crun --version | sed -n 's/^crun version /crun /p'; }
nspawn_name() { systemd-nspawn --version | sed -n '1s/^systemd \([0-9]*\).*/nspawn \1/p'; }
nix_name() { nix --version | sed 's/nix (Nix)/Nix/'; }

nix_() {
	HOME=$WORK/home nix --extra-experimental-features nix-command --store "$WORK/nix" "$@"
}
