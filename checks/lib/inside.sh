# Sourced by the tests of machines of either kind: what `hc shell` and `hc cp` do in each of them.
# shellcheck shell=bash

# shells MACHINE: of its users, without a terminal.
shells() {
	# shellcheck disable=SC2016 # the machine's
	same "a shell reads commands, as at a login" "$(echo 'echo "$0 $HOME $SHELL $USER $PWD"' | hc shell "$1" 2>&1)" \
		"-bash /root /bin/bash root /root"
	# shellcheck disable=SC2016 # the machine's
	same "of another user" "$(echo 'id -un; echo $HOME' | hc shell -u www-data "$1" | xargs)" "www-data /var/www"
	same "its exit code is passed on" "$(echo 'exit 9' | hc shell "$1"; echo $?)" 9
}

# copied_in MACHINE: a tree that it makes here goes to /srv, as the machine's and with its owners as /srv/kept,
# and a file of it over another.
copied_in() {
	mkdir -p tree/sub
	head -c 3000000 /dev/urandom >tree/sub/big
	echo text >tree/file
	ln -s file tree/link
	ln tree/file tree/hard
	chmod 750 tree/sub
	chown -R 1000:1000 tree
	check "a tree into a directory of the machine" hc cp tree "$1:/srv"
	same "it is there, with what it holds" "$(hc exec "$1" -- sh -c 'cd /srv/tree; cat link; stat -c "%a %U" sub; stat -c %h file; sha256sum <sub/big')" \
		"text
750 root
2
$(sha256sum <tree/sub/big)"
	check "under another name, with its owners" hc cp -a tree "$1:/srv/kept"
	same "they are the numbers" "$(hc exec "$1" -- stat -c '%u:%g' /srv/kept/sub/big)" 1000:1000
	check "a file over a file" hc cp tree/file "$1:/srv/tree/sub/big"
	same "it is the other one" "$(hc exec "$1" -- cat /srv/tree/sub/big)" text
}

# sum DIR: of all that is in it, whosever and from whenever it is.
sum() { (cd "$1" && find . | sort | tar --no-recursion -T- -c --mtime=@0 --owner=0 --group=0 | sha256sum); }
