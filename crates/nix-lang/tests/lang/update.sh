#!/bin/sh
# Ask C++ Nix for the results again: lang/update.sh
cd "$(dirname "$0")" || exit 1
store=$(mktemp -d)
for file in *.nix; do
    nix-instantiate --store "local?root=$store" --read-write-mode --eval --strict --json \
        "$file" >"${file%.nix}.json" || exit 1
done
chmod -R u+w "$store" && rm -rf "$store"
