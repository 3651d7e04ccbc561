//! Builds in the sandbox, compared with C++ Nix.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::{Home, Listener, fetchurl, nix_store, sha256};
use nix_compat::{CAHash, InputDerivation, Output};
use nix_store::{DrvOutput, Error, Quiet, Store};
use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

/// `no COMMAND` fails when the command does not: `!` alone does not count for `sh -e`.
const NO: &str = "no() { if \"$@\" 2>/dev/null; then echo \"allowed: $*\"; exit 9; fi; }";

const TREE: &str = "mkdir -p $out/bin; echo hello > $out/file; ln -s file $out/link; \
    echo \"#! $self\" > $out/bin/run; chmod 755 $out/bin/run; chmod 600 $out/file; echo $out > $out/self";

#[test]
fn a_build_is_what_nix_builds() {
    let home = Home::new();
    let builder = home.script("tree", TREE).set("self", home.busybox.to_string());
    let (drv, _) = home.add(builder);
    let out = home.build_drv(&drv, &Quiet).unwrap();
    let info = home.store.info(&out).unwrap();
    assert_eq!(info.references, BTreeSet::from([home.busybox.clone(), out.clone()]));
    assert_eq!(info.deriver, Some(drv.clone()));
    let file = home.physical(&out).join("file").metadata().unwrap();
    assert_eq!((file.mode() & 0o7777, file.uid(), file.mtime()), (0o444, 0, 1));
    assert_eq!(home.physical(&out).join("bin/run").metadata().unwrap().mode() & 0o777, 0o555);
    home.verify();
    home.nothing_left();

    // The same in another store, by C++ Nix.
    let other = home.dir.path().join("other");
    let copy = Store::open(common::config(&other)).unwrap();
    assert_eq!(
        common::add_busybox(&copy, &home.dir.path().join("again"), home.dir.path()),
        home.busybox
    );
    assert_eq!(copy.add_derivation(&home.store.derivation(&drv).unwrap()).unwrap(), drv);
    let ran = nix_store(
        &other,
        &[
            "--realise",
            &drv.to_string(),
            "--option",
            "sandbox",
            "true",
            "--option",
            "build-users-group",
            "",
            "--option",
            "filter-syscalls",
            "false",
        ],
    );
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let theirs = copy.info(&out).unwrap();
    assert_eq!(theirs.nar_hash, info.nar_hash);
    assert_eq!(theirs.references, info.references);
    assert_eq!(theirs.deriver, info.deriver);
}

#[test]
fn the_builder_sees_what_nix_promises_and_nothing_else() {
    let home = Home::new();
    let seen = home.read(
        "view",
        "{ id -u; id -g; pwd; hostname; ls /; ls /nix/store | wc -l; ls -A /build; ip -o link | wc -l; \
         env | sort; echo pid $$; cat /dev/null; ls /dev; test -w /dev/null; readlink /proc/self/fd/0; } > $out",
    );
    let seen = seen.replace(&home.busybox.to_string(), "BUSYBOX");
    let out = seen.lines().find_map(|l| l.strip_prefix("out=")).unwrap().to_owned();
    let seen = seen
        .replace(&out, "OUT")
        .replace("\nkvm\n", "\n")
        .replace(&format!("NIX_BUILD_CORES={}", home.store.config().cores), "NIX_BUILD_CORES=N");
    insta::assert_snapshot!(seen, @r"
    1000
    100
    /build
    localhost
    build
    dev
    etc
    nix
    proc
    tmp
    2
    1
    HOME=/homeless-shelter
    NIX_BUILD_CORES=N
    NIX_BUILD_TOP=/build
    NIX_LOG_FD=2
    NIX_STORE=/nix/store
    PATH=BUSYBOX/bin
    PWD=/build
    SHLVL=1
    TEMP=/build
    TEMPDIR=/build
    TERM=xterm-256color
    TMP=/build
    TMPDIR=/build
    out=OUT
    pid 1
    fd
    full
    null
    ptmx
    pts
    random
    shm
    stderr
    stdin
    stdout
    tty
    urandom
    zero
    /dev/null
    ");
}

#[test]
fn graphs_are_built_inputs_first_and_once() {
    let home = Home::new();
    let (first, first_drv) = home.add(home.script("first", "echo 1 > $out; echo 1 >&2"));
    let first_out = first_drv.resolved_outputs().unwrap()["out"].path.clone().unwrap();
    let mut hashes = nix_compat::ModuloHashes::default();
    hashes.tell::<()>(&first, &first_drv).unwrap();
    let mut tops = Vec::new();
    for n in 0..3 {
        let top = home
            .script(&format!("top{n}"), "cat $dep > $out; echo $dep >> $out")
            .set("dep", first_out.to_string())
            .input_derivation(first.clone(), InputDerivation::new(["out"]));
        let top = hashes.finish(top).unwrap();
        tops.push(DrvOutput::new(home.store.add_derivation(&top).unwrap(), "out"));
    }
    let listener = Listener::default();
    let built = home.store.build(&tops, &listener).unwrap();
    assert_eq!(listener.lines.lock().unwrap().as_slice(), ["1"]);
    for out in built.values() {
        assert_eq!(home.store.references(out).unwrap(), BTreeSet::from([first_out.clone()]));
    }
    // A second time there is nothing to do.
    let listener = Listener::default();
    assert_eq!(home.store.build(&tops, &listener).unwrap(), built);
    assert!(listener.lines.lock().unwrap().is_empty());
    home.verify();
}

#[test]
fn outputs_refer_to_each_other_but_not_in_a_circle() {
    let home = Home::new();
    let two =
        |script: &str| home.script("two", script).set("lib", "").input_addressed_output("lib");
    let (drv, _) = home.add(two("echo $lib > $out; echo x > $lib"));
    let wanted = [DrvOutput::new(drv.clone(), "out"), DrvOutput::new(drv, "lib")];
    let built = home.store.build(&wanted, &Quiet).unwrap();
    assert_eq!(
        home.store.references(&built[&wanted[0]]).unwrap(),
        BTreeSet::from([built[&wanted[1]].clone()])
    );
    let error = home.build(two("echo $lib > $out; echo $out > $lib")).unwrap_err();
    assert!(error.to_string().contains("cycle"), "{error}");
    home.verify();
    home.nothing_left();
}

#[test]
fn a_failure_says_what_the_builder_said() {
    let home = Home::new();
    let error = home.build(home.script("bad", "echo one; echo two >&2; exit 3")).unwrap_err();
    let Error::BuildFailed(failure) = &error else { panic!("{error}") };
    let nix_store::BuildFailure { drv, status, log_tail, log, note, .. } = &**failure;
    assert_eq!((status.as_str(), log_tail.as_str()), ("exit code 3", "one\ntwo"));
    assert!(log.to_str().unwrap().ends_with("-bad.drv.bz2"), "{log:?}");
    let mut text = String::new();
    home.store.build_log(drv).unwrap().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "one\ntwo\n");
    assert_eq!(*note, None);
    let error = home.build(home.script("none", "true")).unwrap_err().to_string();
    assert!(error.contains("the builder did not make it"), "{error}");
    let error = home.build(home.script("kill", "kill -9 $$")).unwrap_err().to_string();
    // A process namespace's first process cannot kill itself.
    assert!(error.contains("did not make it"), "{error}");
    let missing = nix_compat::Derivation::new("x", "x86_64-linux", "/bin/nothing")
        .input_addressed_output("out");
    let error = home.build(missing).unwrap_err().to_string();
    assert!(error.contains("start /bin/nothing: No such file"), "{error}");
    let foreign =
        nix_compat::Derivation::new("x", "riscv64-linux", "/bin/sh").input_addressed_output("out");
    let error = home.build(foreign).unwrap_err().to_string();
    assert!(error.contains("it is for riscv64-linux, this is x86_64-linux"), "{error}");
    home.nothing_left();
}

#[test]
fn pass_as_file_and_structured_attributes_arrive() {
    let home = Home::new();
    let builder = home
        .script("files", "cat $textPath > $out; echo ${text-unset} >> $out")
        .set("passAsFile", "text")
        .set("text", "in a file\n");
    let out = home.build(builder).unwrap();
    assert_eq!(std::fs::read_to_string(home.physical(&out)).unwrap(), "in a file\nunset\n");
    let attributes = br#"{"builder":"x","list":["a b","c"],"outputs":["out"]}"#.to_vec();
    let attributes = nix_compat::StructuredAttrs::from_json_bytes(attributes).unwrap();
    let shell = format!("{}/bin/sh", home.busybox);
    let builder = nix_compat::Derivation::new("structured", "x86_64-linux", shell)
        .argument("-ec")
        .argument(format!(
            "export PATH={}/bin; cat $NIX_ATTRS_JSON_FILE; cat $NIX_ATTRS_SH_FILE; exit 4",
            home.busybox
        ))
        .with_structured_attrs(attributes)
        .input_source(home.busybox.clone())
        .input_addressed_output("out");
    let error = home.build(builder).unwrap_err().to_string();
    assert!(
        error.contains("exit code 4") && error.contains("declare -a list=('a b' 'c' )"),
        "{error}"
    );
}

#[test]
fn nothing_gets_out_of_the_sandbox() {
    let home = Home::new();
    let marker = home.dir.path().join("marker");
    std::fs::write(&marker, "x").unwrap();
    let script = format!(
        "{NO}; no cat {0}; no touch /x; no touch /etc/passwd; no touch {1}/bin/x; no chmod 700 {1}; \
         mkdir -p {2}; touch {2}/stray /tmp/t /nix/store/stray; no mount -t tmpfs none /tmp; \
         no mknod /build/n c 1 3; no chown 0 /tmp/t; no chmod 4755 /tmp/t; no chmod 2755 /tmp/t; \
         no chroot / $PATH/id; no ping -c1 -W1 1.1.1.1; no mount -o remount,rw {1}; \
         no dd if=/dev/null of=/proc/sysrq-trigger; no hostname other; \
         for p in /proc/[0-9]*; do echo $p; done | wc -l > $out",
        marker.display(),
        home.busybox,
        home.dir.path().display()
    );
    let out = home.build(home.script("escape", &script)).unwrap_or_else(|e| panic!("{e}"));
    // Itself, and the pipe's two.
    assert_eq!(std::fs::read_to_string(home.physical(&out)).unwrap(), "3\n");
    assert!(!home.dir.path().join("stray").exists());
    home.nothing_left();
    home.verify();
}

#[test]
fn a_build_with_a_range_of_ids_is_root_over_them_and_nothing_else() {
    let home = Home::new();
    let builder = home
        .script(
            "range",
            &format!(
                "{NO}; id -u; grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; mkdir -p r/bin r/dev; touch r/f; chown 33:33 r/f; chown 65535 r/bin; \
                 chmod 4755 r/f; stat -c '%u:%g %a' r/f; no mknod r/null c 1 3; no chown 65536 r/f; \
                 ln -s x r/l; chown -h 7 r/l; mount -t tmpfs none r/dev; no mount -o remount,rw $PATH; \
                 cat $PATH/busybox > r/bin/busybox; chmod 755 r/bin/busybox; \
                 chroot r /bin/busybox id -u; no touch $PATH/x; no cat {}/x; \
                 no dd if=/dev/null of=/proc/sysrq-trigger; \
                 mkdir $out; touch $out/f; chown 33 $out/f; chmod 6755 $out/f",
                home.dir.path().display()
            ),
        )
        .set("requiredSystemFeatures", "uid-range");
    let (drv, _) = home.add(builder);
    let listener = Listener::default();
    let out = home.build_drv(&drv, &listener).unwrap_or_else(|e| panic!("{e}"));
    let lines = listener.lines.lock().unwrap().join("\n");
    assert!(lines.starts_with("0\nNoNewPrivs:\t1\nSeccomp:\t2\n33:33 4755\n"), "{lines}");
    assert!(lines.ends_with("\n0"), "{lines}");
    let file = home.physical(&out).join("f").metadata().unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (0, 0, 0o555));
    home.verify();
    home.nothing_left();
}

/// As it is when the thread that unpacked the shell and one that starts a process meet.
#[test]
fn a_program_that_a_descriptor_still_writes_to_is_waited_for() {
    let home = Home::new();
    let shell = home.physical(&home.busybox).join("bin/busybox");
    let writing = std::fs::OpenOptions::new().write(true).open(shell).unwrap();
    let (drv, _) = home.add(home.script("waited", "echo done > $out"));
    let out = std::thread::scope(|scope| {
        let build = scope.spawn(|| home.build_drv(&drv, &Quiet));
        std::thread::sleep(std::time::Duration::from_millis(300));
        drop(writing);
        build.join().unwrap().unwrap_or_else(|e| panic!("{e}"))
    });
    assert_eq!(std::fs::read_to_string(home.physical(&out)).unwrap(), "done\n");
}

#[test]
fn a_cancelled_build_is_gone_with_all_it_started() {
    let home = Home::new();
    let script = "sleep 1000 & sleep 1000 & echo started; sleep 1000; touch $out";
    let (drv, _) = home.add(home.script("long", script));
    let listener = Listener { cancel_after_line: Some("started"), ..Listener::default() };
    let error = home.build_drv(&drv, &listener).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    home.nothing_left();
}

#[test]
fn fixed_outputs_are_checked_before_they_are_valid() {
    let home = Home::new();
    let fixed =
        |ca| home.script("fixed", "echo -n text > $out").output("out", Output::Fixed { ca });
    let out = home.build(fixed(CAHash::Flat(sha256(b"text")))).unwrap();
    assert_eq!(std::fs::read(home.physical(&out)).unwrap(), b"text");
    let error = home.build(fixed(CAHash::Flat(sha256(b"other")))).unwrap_err();
    let Error::HashMismatch { specified, got, .. } = &error else { panic!("{error}") };
    assert_eq!(*specified, sha256(b"other").to_sri_string());
    assert_eq!(*got, sha256(b"text").to_sri_string());
    // It is valid by what it is, so that nobody needs to make it again once the hash is corrected.
    let wrong = home.script("wrong", "echo -n wrong > $out");
    let error = home
        .build(wrong.output("out", Output::Fixed { ca: CAHash::Flat(sha256(b"right")) }))
        .unwrap_err();
    assert!(matches!(error, Error::HashMismatch { .. }), "{error}");
    let ca = CAHash::Flat(sha256(b"wrong"));
    let real = nix_compat::path::content_addressed("wrong", &ca, &BTreeSet::new()).unwrap();
    let info = home.store.info(&real).unwrap();
    assert_eq!((info.ca.as_ref(), info.ultimate, info.deriver.is_some()), (Some(&ca), true, true));
    let corrected = home.script("wrong", "exit 1").output("out", Output::Fixed { ca });
    assert_eq!(home.build(corrected).unwrap(), real);
    let reference = home.script("ref", "echo -n $PATH > $out").output(
        "out",
        Output::Fixed { ca: CAHash::Flat(sha256(format!("{}/bin", home.busybox).as_bytes())) },
    );
    let error = home.build(reference).unwrap_err().to_string();
    assert!(error.contains("must not refer to"), "{error}");
    home.verify();
    home.nothing_left();
}

#[test]
fn downloads_are_checked_and_mirrors_come_first() {
    let home = Home::new();
    let file = home.dir.path().join("file");
    std::fs::write(&file, "contents").unwrap();
    let url = format!("file://{}", file.display());
    let out = home.build(fetchurl("flat", &url, CAHash::Flat(sha256(b"contents")))).unwrap();
    assert_eq!(std::fs::read(home.physical(&out)).unwrap(), b"contents");
    assert_eq!(home.physical(&out).metadata().unwrap().mode() & 0o777, 0o444);
    let node = nix_compat::nar::Node::Regular { executable: true, contents: b"contents" };
    let nar = nix_compat::NixHash::Sha256(nix_compat::nar::hash_tree(&node).unwrap().sha256);
    let executable = fetchurl("exe", &url, CAHash::Nar(nar)).set("executable", "1");
    let out = home.build(executable).unwrap();
    assert_eq!(home.physical(&out).metadata().unwrap().mode() & 0o777, 0o555);
    let error = home.build(fetchurl("bad", &url, CAHash::Flat(sha256(b"x")))).unwrap_err();
    assert!(
        error.to_string().starts_with("hash mismatch in fixed-output derivation '/nix/store/"),
        "{error}"
    );
    let error = home
        .build(fetchurl("gone", &format!("{url}.gone"), CAHash::Flat(sha256(b"x"))))
        .unwrap_err();
    assert!(matches!(error, Error::Fetch { .. }), "{error}");

    let mut config = home.store.config().clone();
    config.mirrors =
        vec![("https://nowhere.invalid/".into(), format!("file://{}/", home.dir.path().display()))];
    let mirrored = Store::open(config).unwrap();
    let drv =
        fetchurl("mirrored", "https://nowhere.invalid/file", CAHash::Flat(sha256(b"contents")));
    let drv = mirrored.add_derivation(&drv.build().unwrap()).unwrap();
    mirrored.build(&[DrvOutput::new(drv, "out")], &Quiet).unwrap();
    home.verify();
    home.nothing_left();
}
