//! Every kind of derivation, and what each may ask for.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::{Home, Listener, fetchurl, sha256};
use nix_compat::{
    CAHash, ContentAddressMethod, Derivation, HashAlgorithm, InputDerivation, Output,
    StructuredAttrs, path,
};
use nix_store::{BuildMode, DrvOutput, Error, Quiet, Store, StorePath};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

const NAR: ContentAddressMethod = ContentAddressMethod::Nar;

fn floating(home: &Home, name: &str, script: &str) -> Derivation {
    home.script(name, script)
        .output("out", Output::Floating { method: NAR, hash_algorithm: HashAlgorithm::Sha256 })
        .set("out", path::hash_placeholder("out"))
}

fn read(home: &Home, path: &StorePath) -> String {
    std::fs::read_to_string(home.physical(path)).unwrap()
}

#[test]
fn floating_outputs_are_named_by_what_they_hold() {
    let home = Home::new();
    let script = "mkdir $out; echo $out > $out/self; echo x > $out/x; ln -s $out/x $out/link";
    let out = home.build(floating(&home, "float", script)).unwrap();
    assert_eq!(read_in(&home, &out, "self"), format!("{out}\n"));
    let link = std::fs::read_link(home.physical(&out).join("link")).unwrap();
    assert_eq!(link.to_str().unwrap(), format!("{out}/x"));
    let info = home.store.info(&out).unwrap();
    assert_eq!(info.references, BTreeSet::from([out.clone()]));
    assert!(info.ca.is_some());
    // Another derivation that comes to the same is the same path.
    let again = floating(&home, "float", &format!("true; {script}"));
    assert_eq!(home.build(again).unwrap(), out);
    home.verify();
    home.nothing_left();
}

fn read_in(home: &Home, path: &StorePath, file: &str) -> String {
    std::fs::read_to_string(home.physical(path).join(file)).unwrap()
}

#[test]
fn what_depends_on_floating_outputs_gets_their_paths_and_is_not_built_again() {
    let home = Home::new();
    let chain = |salt: &str| {
        let script = format!(": {salt}; echo same > $out; echo first >&2");
        let (first, first_drv) = home.add(floating(&home, "first", &script));
        let mut hashes = nix_compat::ModuloHashes::default();
        hashes.tell::<()>(&first, &first_drv).unwrap();
        let second = home
            .script("second", "cat $dep > $out; echo $dep >> $out; echo second >&2")
            .output("out", Output::Deferred)
            .set("dep", path::downstream_placeholder(&first, &["out"]))
            .input_derivation(first, InputDerivation::new(["out"]));
        home.store.add_derivation(&hashes.finish(second).unwrap()).unwrap()
    };
    let listener = Listener::default();
    let one = home.build_drv(&chain("one"), &listener).unwrap();
    assert!(read(&home, &one).starts_with("same\n/nix/store/"));
    assert_eq!(*listener.lines.lock().unwrap(), ["first", "second"]);
    // The first one is built again, comes to the same, and that is the end of it.
    let listener = Listener::default();
    assert_eq!(home.build_drv(&chain("two"), &listener).unwrap(), one);
    assert_eq!(*listener.lines.lock().unwrap(), ["first"]);
    let listener = Listener::default();
    assert_eq!(home.build_drv(&chain("two"), &listener).unwrap(), one);
    assert!(listener.lines.lock().unwrap().is_empty());
    home.verify();
}

/// A derivation whose output is the derivation `text`.
fn maker(home: &Home, text: &[u8]) -> (StorePath, nix_compat::Derivation) {
    let source = home.store.add_text("text", text, &BTreeSet::from([home.busybox.clone()]));
    let source = source.unwrap();
    let method = ContentAddressMethod::Text;
    let output = Output::Floating { method, hash_algorithm: HashAlgorithm::Sha256 };
    let script = format!("cat {source} > $out");
    home.add(
        home.script("inner.drv", &script)
            .output("out", output)
            .set("out", path::hash_placeholder("out"))
            .input_source(source),
    )
}

/// A derivation that reads what the derivation that `maker` makes comes to.
fn reader(home: &Home, maker: &(StorePath, nix_compat::Derivation)) -> Derivation {
    let chain = ["out", "out"];
    let inner = InputDerivation::new::<_, String>([]);
    let inner = inner.with_dynamic_output("out", InputDerivation::new(["out"]));
    let reader = home
        .script("reader", "cat $dep > $out; echo $dep >> $out")
        .output("out", Output::Deferred)
        .set("dep", path::downstream_placeholder(&maker.0, &chain))
        .input_derivation(maker.0.clone(), inner.unwrap());
    let mut hashes = nix_compat::ModuloHashes::default();
    hashes.tell::<()>(&maker.0, &maker.1).unwrap();
    hashes.finish(reader).unwrap()
}

#[test]
fn derivations_that_a_build_makes_are_built() {
    let home = Home::new();
    let inner = home.script("inner", "echo from the inner one > $out").build().unwrap();
    let maker = maker(&home, &inner.to_aterm_bytes());
    let out = home.build(reader(&home, &maker)).unwrap();
    let outputs = inner.resolved_outputs().unwrap();
    let made = outputs["out"].path.as_ref().unwrap();
    assert_eq!(read(&home, &out), format!("from the inner one\n{made}\n"));
    let drv = inner.drv_path().unwrap();
    assert_eq!(home.store.info(made).unwrap().deriver.as_ref(), Some(&drv));
    // It is an ordinary derivation of the store.
    assert_eq!(home.store.derivation(&drv).unwrap(), inner);
    assert!(home.store.info(&drv).unwrap().ca.is_some());
    home.verify();
    home.nothing_left();
}

/// Where the derivation comes from a fixed output, what depends on it has its path beforehand.
#[test]
fn what_asks_for_an_output_of_a_known_output_has_a_path() {
    let home = Home::new();
    let file = home.dir.path().join("file");
    std::fs::write(&file, "contents").unwrap();
    let url = format!("file://{}", file.display());
    let inner = fetchurl("inner", &url, CAHash::Flat(sha256(b"contents"))).build().unwrap();
    let text = inner.to_aterm_bytes();
    let source = home.store.add_text("text", &text, &BTreeSet::new()).unwrap();
    let ca = CAHash::Text(sha256(&text).digest_as_bytes().try_into().unwrap());
    let maker = home.script("inner.drv", &format!("cat {source} > $out"));
    let maker = home.add(maker.output("out", Output::Fixed { ca }).input_source(source));
    let mut hashes = nix_compat::ModuloHashes::default();
    hashes.tell::<()>(&maker.0, &maker.1).unwrap();
    let reader = reader(&home, &maker).output("out", Output::Deferred);
    let made = nix_compat::make(reader, |path| hashes.get(path).ok_or("unknown")).unwrap();
    let reader = nix_compat::Derivation::from_aterm_bytes(&made.text, "reader").unwrap();
    let known = reader.resolved_outputs().unwrap()["out"].path.clone().unwrap();
    let drv = home.store.add_derivation(&reader).unwrap();
    assert_eq!(home.build_drv(&drv, &Quiet).unwrap(), known);
    let made = inner.resolved_outputs().unwrap()["out"].path.clone().unwrap();
    assert_eq!(read(&home, &known), format!("contents{made}\n"));
    assert_eq!(home.store.info(&known).unwrap().references, BTreeSet::from([made]));
    home.verify();
    home.nothing_left();
}

#[test]
fn what_a_build_makes_in_the_place_of_a_derivation_is_checked() {
    let home = Home::new();
    let error = home.build(reader(&home, &maker(&home, b"Derive(")));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("it is no derivation"), "{error}");
    // One that claims the output of another.
    let inner = home.script("inner", "echo right > $out").build().unwrap().to_aterm_bytes();
    let text = String::from_utf8(inner).unwrap().replace("echo right", "echo wrong");
    let error = home.build(reader(&home, &maker(&home, text.as_bytes())));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("inner.drv") && error.contains("output"), "{error}");
    assert!(home.store.valid_paths().unwrap().iter().all(|path| path.name() != "inner"));
    home.nothing_left();
}

#[test]
fn floating_outputs_refer_to_each_other_but_not_in_a_circle() {
    let home = Home::new();
    let two = |script: &str| {
        floating(&home, "two", script)
            .output("lib", Output::Floating { method: NAR, hash_algorithm: HashAlgorithm::Sha256 })
            .set("lib", path::hash_placeholder("lib"))
    };
    let (drv, _) = home.add(two("echo $lib > $out; echo $lib > $lib"));
    let wanted = ["out", "lib"].map(|name| DrvOutput::new(drv.clone(), name));
    let built = home.store.build(&wanted, &Quiet).unwrap();
    let (out, lib) = (&built[&wanted[0]], &built[&wanted[1]]);
    assert_eq!(read(&home, out), format!("{lib}\n"));
    assert_eq!(home.store.references(out).unwrap(), BTreeSet::from([lib.clone()]));
    let error = home.build(two("echo $lib > $out; echo $out > $lib")).unwrap_err();
    assert!(error.to_string().contains("cycle"), "{error}");
    home.verify();
}

#[test]
fn impure_derivations_are_built_each_time_and_have_the_network() {
    let home = Home::new();
    let output = Output::Impure { method: NAR, hash_algorithm: HashAlgorithm::Sha256 };
    let builder = home
        .script(
            "impure",
            "test -e /etc/resolv.conf || test -e /etc/services; echo hi >&2; echo x > $out",
        )
        .output("out", output)
        .set("out", path::hash_placeholder("out"));
    let (drv, _) = home.add(builder);
    let listener = Listener::default();
    let one = home.build_drv(&drv, &listener).unwrap();
    assert_eq!(home.build_drv(&drv, &listener).unwrap(), one);
    assert_eq!(*listener.lines.lock().unwrap(), ["hi", "hi"]);
    home.verify();
}

#[test]
fn references_are_checked_against_what_is_allowed() {
    let home = Home::new();
    let busybox = home.busybox.to_string();
    let case = |script: &str, name: &str, value: &str| {
        home.build(home.script("checked", script).set(name, value))
    };
    let refers = "echo $PATH > $out";
    case(refers, "allowedReferences", &busybox).unwrap();
    case("echo $out > $out", "allowedReferences", "out").unwrap();
    case("echo $out > $out", "allowedRequisites", "").unwrap();
    case("echo x > $out", "disallowedReferences", &busybox).unwrap();
    for (script, name, value) in [
        (refers, "allowedReferences", ""),
        ("echo $out > $out", "allowedReferences", ""),
        (refers, "allowedRequisites", ""),
        (refers, "disallowedReferences", busybox.as_str()),
        (refers, "disallowedRequisites", busybox.as_str()),
    ] {
        let error = case(script, name, value).unwrap_err().to_string();
        assert!(error.contains("may not refer to\n  /nix/store/"), "{name}: {error}");
    }
    let error = case("echo > $out", "allowedReferences", "nonsense").unwrap_err().to_string();
    assert!(error.contains("neither a store path nor"), "{error}");
    home.verify();
    home.nothing_left();
}

/// Not every shell has arrays: the output's path is read from the other file.
const OUT: &str = r#"out=$(sed 's/.*"outputs":{"out":"\([^"]*\)".*/\1/' $NIX_ATTRS_JSON_FILE)"#;

fn structured(home: &Home, script: &str, attributes: &str) -> Derivation {
    let json = format!(r#"{{"outputs":["out"],{attributes}}}"#);
    let script = format!("export PATH={}/bin; {OUT}; {script}", home.busybox);
    Derivation::new("structured", "x86_64-linux", format!("{}/bin/sh", home.busybox))
        .argument("-ec")
        .argument(script)
        .with_structured_attrs(StructuredAttrs::from_json_bytes(json.into_bytes()).unwrap())
        .input_source(home.busybox.clone())
        .input_addressed_output("out")
}

#[test]
fn structured_attributes_have_checks_of_their_own() {
    let home = Home::new();
    let build = |script: &str, attributes: &str| home.build(structured(&home, script, attributes));
    let many = "dd if=/dev/zero of=$out bs=1000 count=2";
    build(many, r#""outputChecks":{"out":{"maxSize":3000}}"#).unwrap();
    let error = build(many, r#""outputChecks":{"out":{"maxSize":1000}}"#).unwrap_err().to_string();
    assert!(error.contains("too large at 2112 bytes; limit is 1000"), "{error}");
    let refers = "echo $PATH > $out";
    let error =
        build(refers, r#""outputChecks":{"out":{"maxClosureSize":1000}}"#).unwrap_err().to_string();
    assert!(error.contains("its closure is too large"), "{error}");
    let error = build(refers, r#""outputChecks":{"out":{"allowedReferences":[]}}"#)
        .unwrap_err()
        .to_string();
    assert!(error.contains("may not refer to"), "{error}");
    let out = build(refers, r#""unsafeDiscardReferences":{"out":true}"#).unwrap();
    assert!(home.store.references(&out).unwrap().is_empty());
    home.verify();
}

#[test]
fn closures_are_told_in_files_and_in_json() {
    let home = Home::new();
    let busybox = home.busybox.clone();
    let builder = home
        .script("graph", "cat closure > $out")
        .set("exportReferencesGraph", format!("closure {busybox}"));
    let out = home.build(builder).unwrap();
    assert_eq!(read(&home, &out), format!("{busybox}\n\n0\n"));
    let builder = structured(
        &home,
        "cat $NIX_ATTRS_JSON_FILE; exit 1",
        &format!(r#""exportReferencesGraph":{{"closure":["{busybox}"]}}"#),
    );
    let error = home.build(builder).unwrap_err().to_string();
    let info = home.store.info(&busybox).unwrap();
    for wanted in [
        format!(r#""path":"{busybox}""#),
        format!(r#""narSize":{}"#, info.nar_size),
        format!(r#""closureSize":{}"#, info.nar_size),
        format!(r#""exportReferencesGraph":{{"closure":["{busybox}"]}}"#),
        r#""references":[]"#.to_owned(),
    ] {
        assert!(error.contains(&wanted), "{wanted} in {error}");
    }
    let foreign = "/nix/store/miacmq2d49l5qm1xgkpr982m3rd9ax08-a";
    let builder =
        home.script("graph", "true").set("exportReferencesGraph", format!("closure {foreign}"));
    let error = home.build(builder).unwrap_err().to_string();
    assert!(error.contains("not among its inputs"), "{error}");
}

#[test]
fn placeholders_of_its_own_outputs_are_its_paths() {
    let home = Home::new();
    let placeholder = path::hash_placeholder("out");
    let builder =
        home.script("self", &format!("echo $mine {placeholder} > $out; test $mine = $out"));
    let out = home.build(builder.set("mine", &*placeholder)).unwrap();
    assert_eq!(read(&home, &out), format!("{out} {out}\n"));
}

#[test]
fn fixed_outputs_see_the_network_and_the_variables_they_ask_for() {
    let home = Home::new();
    let mut config = home.store.config().clone();
    config.environment.insert("WANTED".into(), b"yes".to_vec());
    config.environment.insert("SECRET".into(), b"no".to_vec());
    let store = Store::open(config).unwrap();
    let text = b"1 yes unset [] 1000\n";
    let builder = home
        .script(
            "fixed",
            "echo \"$NIX_OUTPUT_CHECKED $WANTED ${SECRET-unset} [$MISSING] $(id -u)\" > $out; \
             test -e /etc/nsswitch.conf",
        )
        .set("impureEnvVars", "WANTED MISSING")
        .output("out", Output::Fixed { ca: CAHash::Flat(sha256(text)) });
    let drv = store.add_derivation(&builder.build().unwrap()).unwrap();
    store.build(&[DrvOutput::new(drv, "out")], &Quiet).unwrap();
    // And others do not.
    let builder = home
        .script("plain", "echo ${WANTED-unset} > $out; no() { ! test -e $1; }; no /etc/resolv.conf")
        .set("impureEnvVars", "WANTED");
    let drv = store.add_derivation(&builder.build().unwrap()).unwrap();
    let wanted = DrvOutput::new(drv, "out");
    let out = store.build(std::slice::from_ref(&wanted), &Quiet).unwrap().remove(&wanted).unwrap();
    assert_eq!(read(&home, &out), "unset\n");
}

#[test]
fn fixed_outputs_are_hashed_as_git_does() {
    let home = Home::new();
    let hash = "sha1:0976950c1fdbcb52435a433913017bf044b3a58f";
    let ca = CAHash::Git(nix_compat::NixHash::parse(hash).unwrap());
    let script = "mkdir $out; echo hello > $out/a";
    let builder = home.script("git", script).output("out", Output::Fixed { ca: ca.clone() });
    let out = home.build(builder).unwrap();
    assert_eq!(read_in(&home, &out, "a"), "hello\n");
    let builder = home.script("git2", "mkdir $out").output("out", Output::Fixed { ca });
    assert!(matches!(home.build(builder), Err(Error::HashMismatch { .. })));
}

#[test]
fn what_cannot_be_had_here_is_refused_with_its_name() {
    let home = Home::new();
    for (name, value, said) in [
        ("requiredSystemFeatures", "builder-rpc-v0", "builder-rpc-v0"),
        ("requiredSystemFeatures", "gccarch-none", "gccarch-none"),
        ("__noChroot", "1", "__noChroot"),
    ] {
        let builder = home.script("refused", "echo > $out").set(name, value);
        let error = home.build(builder).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    for (name, value) in [
        ("requiredSystemFeatures", "big-parallel benchmark nixos-test ca-derivations"),
        ("preferLocalBuild", "1"),
        ("allowSubstitutes", ""),
        ("__darwinAllowLocalNetworking", "1"),
        ("__impureHostDeps", "/etc"),
    ] {
        home.build(home.script("taken", "echo > $out").set(name, value)).unwrap();
    }
}

#[test]
fn thirty_two_bit_builds_run_and_see_a_thirty_two_bit_machine() {
    let home = Home::new();
    // The program itself is a 64-bit one: it runs under the same filter, and asks who it is.
    let script = "cat /proc/self/personality > $out; echo x > f; chmod 755 f; if chmod 4755 f; then exit 1; fi";
    let builder = home.script_on("i686-linux", "i686", script);
    let out = home.build(builder).unwrap();
    assert_eq!(read(&home, &out), "00040008\n");
}

#[test]
fn limits_end_a_build_and_say_which() {
    let home = Home::new();
    let with = |change: &dyn Fn(&mut nix_store::StoreConfig), script: &str| {
        let mut config = home.store.config().clone();
        change(&mut config);
        let store = Store::open(config).unwrap();
        let drv = home.script("limited", script).build().unwrap();
        let drv = store.add_derivation(&drv).unwrap();
        store.build(&[DrvOutput::new(drv, "out")], &Quiet).unwrap_err().to_string()
    };
    let second = std::time::Duration::from_millis(300);
    let error = with(&|c| c.build_timeout = Some(second), "sleep 1000");
    assert!(error.contains("ran longer than 0.3 s"), "{error}");
    let talking = "while true; do echo $out $PATH; sleep 0.01; done";
    let error = with(&|c| c.max_silent_time = Some(second), "echo begin; sleep 1000");
    assert!(error.contains("silent for 0.3 s") && error.contains("> begin"), "{error}");
    let error = with(&|c| c.max_log_size = Some(1000), talking);
    assert!(error.contains("more than 1000 bytes"), "{error}");
    home.nothing_left();
}

#[test]
fn the_directory_of_a_failed_build_is_kept_for_its_caller() {
    let home = Home::new();
    let mut config = home.store.config().clone();
    config.keep_failed = true;
    let store = Store::open(config).unwrap();
    let script = "mkdir d; echo x > d/f; ln -s /etc/passwd l; exit 7";
    let mut kept = Vec::new();
    for _ in 0..2 {
        let drv = store.add_derivation(&home.script("bad", script).build().unwrap()).unwrap();
        let error = store.build(&[DrvOutput::new(drv, "out")], &Quiet).unwrap_err();
        let Error::BuildFailed(failure) = &error else { panic!("{error}") };
        let at = failure.kept.clone().unwrap();
        assert!(error.to_string().contains(at.to_str().unwrap()), "{error}");
        assert_eq!(std::fs::read_to_string(at.join("d/f")).unwrap(), "x\n");
        let metadata = at.metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (0, 0o700));
        assert_eq!(at.join("d/f").metadata().unwrap().uid(), 0);
        kept.push(at);
    }
    assert_ne!(kept[0], kept[1]);
    home.nothing_left();
}

#[test]
fn with_keep_going_every_failure_is_told() {
    let home = Home::new();
    let mut config = home.store.config().clone();
    config.keep_going = true;
    let store = Store::open(config).unwrap();
    let wanted: Vec<DrvOutput> = ["echo a; exit 1", "echo > $out", "echo c; exit 3"]
        .iter()
        .map(|script| home.script("some", script).build().unwrap())
        .map(|drv| DrvOutput::new(store.add_derivation(&drv).unwrap(), "out"))
        .collect();
    let error = store.build(&wanted, &Quiet).unwrap_err();
    let Error::Several { errors } = &error else { panic!("{error}") };
    assert_eq!(errors.len(), 2);
    let text = error.to_string();
    assert!(text.contains("exit code 1") && text.contains("exit code 3"), "{text}");
    assert!(store.plan(&wanted[1..2]).unwrap().builds.is_empty());
    assert_eq!(store.plan(&wanted).unwrap().builds.len(), 2);
}

#[test]
fn building_again_compares_and_repairs() {
    let home = Home::new();
    let again = |drv: &StorePath, mode| {
        home.store.build_in_mode(&[DrvOutput::new(drv.clone(), "out")], mode, &Quiet)
    };
    let (same, _) = home.add(home.script("same", "echo x > $out"));
    let error = again(&same, BuildMode::Check).unwrap_err().to_string();
    assert!(error.contains("build it first"), "{error}");
    let out = home.build_drv(&same, &Quiet).unwrap();
    again(&same, BuildMode::Check).unwrap();
    let (other, _) = home.add(home.script("other", "cat /proc/sys/kernel/random/uuid > $out"));
    let changing = home.build_drv(&other, &Quiet).unwrap();
    let before = read(&home, &changing);
    let error = again(&other, BuildMode::Check).unwrap_err();
    assert!(matches!(error, Error::NotReproducible { .. }), "{error}");
    assert_eq!(read(&home, &changing), before);
    // A file that was written to is made again.
    let file = home.physical(&out);
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "damaged").unwrap();
    again(&same, BuildMode::Repair).unwrap();
    assert_eq!(read(&home, &out), "x\n");
    home.verify();
    home.nothing_left();
}

#[test]
fn downloads_are_unpacked() {
    let home = Home::new();
    let tree = home.dir.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("file"), "text").unwrap();
    let mut nar = Vec::new();
    nix_compat::nar::dump(&tree, &mut nar).unwrap();
    let file = home.dir.path().join("tree.nar");
    std::fs::write(&file, &nar).unwrap();
    let url = format!("file://{}", file.display());
    let hash = sha256(&nar);
    let out = home
        .build(fetchurl("unpacked", &url, CAHash::Nar(hash.clone())).set("unpack", "1"))
        .unwrap();
    assert_eq!(read_in(&home, &out, "file"), "text");
    std::fs::write(&file, "no archive").unwrap();
    let error =
        home.build(fetchurl("broken", &url, CAHash::Nar(hash)).set("unpack", "1")).unwrap_err();
    assert!(error.to_string().contains("no archive of files"), "{error}");
    home.verify();
    home.nothing_left();
}

#[test]
fn profiles_are_links_to_packages_by_priority() {
    let home = Home::new();
    let package = |name: &str, script: &str| home.build(home.script(name, script)).unwrap();
    let one =
        package("one", "mkdir -p $out/bin $out/only; echo 1 > $out/bin/a; echo > $out/only/x");
    let two =
        package("two", "mkdir -p $out/bin $out/log; echo 2 > $out/bin/a; echo 2 > $out/bin/b");
    let profile = |derivations: &str| {
        home.build(
            Derivation::new("profile", "builtin", "builtin:buildenv")
                .set("derivations", derivations)
                .set("manifest", one.to_string())
                .set("out", "")
                .input_source(one.clone())
                .input_source(two.clone())
                .input_addressed_output("out"),
        )
    };
    let out = profile(&format!("true 5 1 {one} true 6 1 {two}")).unwrap();
    let link = |name: &str| std::fs::read_link(home.physical(&out).join(name)).unwrap();
    assert_eq!(link("bin/a").to_str().unwrap(), format!("{one}/bin/a"));
    assert_eq!(link("bin/b").to_str().unwrap(), format!("{two}/bin/b"));
    assert_eq!(link("only").to_str().unwrap(), format!("{one}/only"));
    assert_eq!(link("manifest.nix").to_str().unwrap(), one.to_string());
    assert!(home.physical(&out).join("log").symlink_metadata().is_err());
    assert_eq!(home.store.references(&out).unwrap(), BTreeSet::from([one.clone(), two.clone()]));
    let error = profile(&format!("true 5 1 {one} true 5 1 {two}")).unwrap_err().to_string();
    assert!(error.contains("want the same place"), "{error}");
    home.verify();
    home.nothing_left();
}
