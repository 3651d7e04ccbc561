//! Builders with `recursive-nix`: the clients inside are real ones, of every release there is.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::peers::Peer;
use common::{Home, Listener};
use nix_compat::{Derivation, StorePath};
use nix_store::{DrvOutput, Error, Store};
use std::collections::BTreeSet;

/// What a script finds: Nix and a shell, `no` for what must fail, and nothing of the host's settings.
const BEGIN: &str = r#"
    export PATH=$PATH:/usr/bin:/bin HOME=/build/home
    export NIX_CONFIG='experimental-features = nix-command recursive-nix'
    test "$NIX_REMOTE" = unix:///build/.nix-socket
    no() { if "$@" 2>refusal; then echo "it could: $*"; exit 9; fi; }
    inner() { cat > $1.nix <<NIX
        let busybox = builtins.storePath "$busybox"; in derivation {
            name = "$1"; system = "x86_64-linux"; builder = "\${busybox}/bin/sh"; PATH = "\${busybox}/bin";
            args = [ "-ec" "$2" ]; text = builtins.toFile "text" "from a file"; other = $3;
        }
NIX
    }
"#;

fn recursive(home: &Home, name: &str, script: &str) -> Derivation {
    home.script(name, &format!("{BEGIN}{script}"))
        .set("requiredSystemFeatures", "recursive-nix")
        .set("busybox", home.busybox.to_string())
}

fn with_programs(home: &Home, peer: Peer) -> Store {
    let mut config = home.store.config().clone();
    config.sandbox_paths.extend(peer.programs());
    Store::open(config).unwrap()
}

fn build(store: &Store, builder: Derivation) -> Result<StorePath, String> {
    let drv = store.add_derivation(&builder.build().unwrap()).unwrap();
    let wanted = DrvOutput::new(drv, "out");
    match store.build(std::slice::from_ref(&wanted), &Listener::default()) {
        Ok(mut built) => Ok(built.remove(&wanted).unwrap()),
        Err(Error::BuildFailed(failure)) => Err(failure.log_tail),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn a_builder_queries_adds_and_builds_with_any_nix() {
    for peer in Peer::all() {
        let home = Home::new();
        let store = with_programs(&home, peer);
        let hidden = store.add_text("hidden", b"of others", &BTreeSet::new()).unwrap();
        // Named without a context: it is no input.
        let builder = recursive(
            &home,
            "outer",
            r#"
            mkdir $out
            nix path-info $busybox
            nix-store --query --references $busybox
            no nix path-info /nix/store/$hidden
            grep -q 'is not valid' refusal
            no nix-store --realise /nix/store/$hidden
            no cat /nix/store/$hidden
            no nix-store --query --references /nix/store/$hidden
            echo foobar > foobar
            foobar=$(nix store add-path ./foobar)
            test "$(cat $foobar)" = foobar
            no touch $foobar/x
            no sh -c "echo > $foobar"
            ln -s $foobar $out/foobar
            mkdir tree; echo in > tree/file; ln -s file tree/link
            tree=$(nix-store --add tree)
            test "$(cat $tree/link)" = in
            no touch $tree/other
            inner first 'cat $text > $out' null
            first=$(nix-build --no-out-link first.nix)
            test "$(cat $first)" = 'from a file'
            test "$(nix-build --no-out-link first.nix)" = $first
            echo $first > $out/first
            inner second 'cat $other/sub $text > $out' "builtins.storePath $first"
            no nix-build --no-out-link second.nix
            inner third 'cat $other $text > $out' "builtins.storePath $first"
            test "$(cat $(nix-build --no-out-link third.nix))" = 'from a filefrom a file'
            inner bad 'echo some words; exit 3' null
            no nix-build --no-out-link bad.nix
            grep -q 'some words' refusal
            nix-store --query --requisites $first
            test -z "$(nix-store --query --deriver $first | grep -v unknown)"
            nix path-info --all > all
            for name in foobar tree first busybox text third; do grep -q -- "-$name\$" all; done
            no grep -E 'hidden|outer' all
            nix-store --dump $tree > /dev/null
            "#,
        )
        .set("hidden", hidden.to_basename());
        let out = build(&store, builder).unwrap_or_else(|e| panic!("{peer:?}: {e}"));
        let references = store.references(&out).unwrap();
        let found: BTreeSet<&str> = references.iter().map(StorePath::name).collect();
        assert_eq!(found, BTreeSet::from(["first", "foobar"]), "{peer:?}");
        home.verify();
        home.nothing_left();
    }
}

#[test]
fn what_a_builder_must_not_do_is_refused() {
    let home = Home::new();
    let store = with_programs(&home, Peer::all()[0]);
    let hidden = store.add_text("hidden", b"of others", &BTreeSet::new()).unwrap();
    let (drv, _) = home.add(home.script("theirs", "echo > $out"));
    let builder = recursive(
        &home,
        "limits",
        r#"
        # What is not seen cannot be referred to, nor be built from.
        echo "derivation { name = \"x\"; system = \"x\"; builder = \"x\"; src =
            builtins.appendContext \"/nix/store/$hidden\" { \"/nix/store/$hidden\".path = true; }; }" > x.nix
        no nix-instantiate x.nix
        grep -q 'not among what this build may see\|not valid' refusal
        no nix-store --realise /nix/store/$drv
        # Nothing that outlives the build, nothing for others.
        echo text > text; text=$(nix-store --add text)
        nix-store --delete $text
        cat $text
        no nix-store --verify --repair
        grep -q 'VerifyStore is not supported' refusal
        inner again 'echo > $out' null
        nix-build --no-out-link again.nix
        no nix-build --no-out-link --check again.nix
        grep -q 'neither check nor repair' refusal
        nix-store --gc --print-roots > roots
        test ! -s roots
        # A name in the way is not written through.
        ln -s /build/victim /nix/store/$later
        echo later > later; mkdir victim
        no nix-store --add later
        test -z "$(ls -A victim)"
        echo > $out
        "#,
    )
    .set("hidden", hidden.to_basename())
    .set("drv", drv.to_basename());
    let later = home.dir.path().join("later");
    std::fs::write(&later, "later\n").unwrap();
    let none = BTreeSet::new();
    let method = nix_store::IngestMethod::Recursive;
    let later = store.add_path("later", &later, method, &none, None).unwrap();
    let builder = builder.set("later", later.to_basename());
    build(&store, builder).unwrap_or_else(|e| panic!("{e}"));
    home.verify();
    home.nothing_left();
}

#[test]
fn what_a_builder_had_built_ends_with_it() {
    let home = Home::new();
    let store = with_programs(&home, Peer::all()[0]);
    let builder = recursive(
        &home,
        "leaver",
        r#"
        inner endless 'echo here; sleep 31338' null
        nix-build --no-out-link endless.nix > log 2>&1 &
        while ! grep -q here log; do sleep 0.1; done
        echo > $out
        "#,
    );
    build(&store, builder).unwrap_or_else(|e| panic!("{e}"));
    let running = std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|text| text == b"sleep\x0031338\0")
    });
    assert!(!running);
    home.nothing_left();
}

#[test]
fn a_range_of_ids_and_a_long_name_change_nothing() {
    let home = Home::new();
    let store = with_programs(&home, Peer::all()[0]);
    let script = "echo text > text; text=$(nix-store --add text); id -u > $out; cat $text >> $out; \
                  mount -o remount,rw,bind $text || true; no chmod 777 $text; no touch $text; \
                  no sh -c 'echo > $text'";
    let builder = recursive(&home, &"long".repeat(50), script)
        .set("requiredSystemFeatures", "recursive-nix uid-range");
    let out = build(&store, builder).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(std::fs::read_to_string(home.physical(&out)).unwrap(), "0\ntext\n");
    home.verify();
    home.nothing_left();
}

#[test]
fn a_builder_without_the_feature_has_no_socket() {
    let home = Home::new();
    let said = home.read("plain", "echo ${NIX_REMOTE-none} > $out; ls -A /build >> $out");
    assert_eq!(said, "none\n");
}
