# Sourced by measure.sh: the same programs from the same files, run by others.
# shellcheck shell=bash

# unpack EROFS: the image as a bundle that crun and systemd-nspawn run, without network.
unpack() {
	mkdir -p "$WORK/bundle"
	fsck.erofs --extract="$WORK/bundle/rootfs" "$1" >"$WORK/extract.log" 2>&1
	(cd "$WORK/bundle" && crun spec)
}

# payload ARG…: what the bundle runs.
payload() {
	jq '.process.terminal = false | .root.readonly = false | .process.args = $ARGS.positional' \
		"$WORK/bundle/config.json" --args "$@" >"$WORK/config.json"
	mv "$WORK/config.json" "$WORK/bundle/config.json"
}

# crun refuses control groups in hybrid mode. Hiding version 2 from it (measure.sh runs in a mount
# namespace of its own) leaves it version 1, as on an older host; hc is given all there is.
crun_hides=
if [ -d /sys/fs/cgroup/unified ]; then
	crun_hides=1
fi

# A command line, for hyperfine, that finds only the control groups crun accepts.
crun_namespace() {
	[ -z "$crun_hides" ] || unshare --mount --propagation private sh -c 'umount -l /sys/fs/cgroup/unified; exec "$@"' sh "$@"
}

crun_version() { crun --version | sed -n 's/^crun version /crun /p'; }
nspawn_version() { systemd-nspawn --version | sed -n '1s/^systemd \([0-9]*\).*/systemd-nspawn \1/p'; }
nix_version() { nix --version | sed 's/nix (Nix)/Nix/'; }
