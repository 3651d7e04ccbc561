//! Evaluation that fetches, locks and builds, with a store of its own.
#![allow(clippy::disallowed_methods)]

use hc_deploy::{IoOptions, Registries, StoreIo, flake_check, flake_show};
use nix_lang::{Arena, Evaluator, FlakeOptions, FlakeRef, LockMode, Settings, on_big_stack};
use nix_store::StoreConfig;
use std::path::Path;
use std::process::Command;

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let world = World { dir: tempfile::tempdir().expect("a directory") };
        for (name, text) in files {
            world.write(name, text);
        }
        world
    }

    fn here(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.here().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        let text = text.replace("@HERE@", &self.here().display().to_string());
        std::fs::write(path, text).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.here().join(name)).expect("a file")
    }

    fn git(&self, at: &str, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.here().join(at))
            .args(["-c", "user.name=a", "-c", "user.email=a@example.org"])
            .args(["-c", "init.defaultBranch=main"])
            .args(arguments)
            .env("GIT_COMMITTER_DATE", "1700000000 +0000")
            .output()
            .expect("git runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn options(&self) -> IoOptions {
        IoOptions {
            store: StoreConfig { root: Some(self.here().join("root")), ..StoreConfig::default() }
                .into(),
            fetch: Some(nix_fetch::Config::new(self.here().join("cache"))),
            registries: Registries { global: String::new(), ..Registries::default() },
            ..IoOptions::default()
        }
    }

    fn with<T: Send>(
        &self,
        options: IoOptions,
        pure: bool,
        body: impl Send + FnOnce(&Evaluator<'_>, &StoreIo) -> T,
    ) -> T {
        on_big_stack(|| {
            let io = StoreIo::new(options);
            let arena = Arena::new();
            let nix = Evaluator::new(&arena, &io, Settings { pure, ..Settings::default() });
            body(&nix, &io)
        })
        .expect("a stack")
    }

    fn eval(&self, text: &str) -> Result<String, String> {
        self.eval_as(text, false)
    }

    fn eval_as(&self, text: &str, pure: bool) -> Result<String, String> {
        let text = text.replace("@HERE@", &self.here().display().to_string());
        self.with(self.options(), pure, |nix, _| {
            let value = nix.eval_str(&text, self.here());
            value.and_then(|value| nix.to_json_text(value)).map_err(|error| error.to_string())
        })
    }

    fn flake(&self, text: &str, options: &FlakeOptions, attribute: &str) -> Result<String, String> {
        self.with(self.options(), true, |nix, _| {
            let (found, _) = nix.flake_reference(text, self.here()).map_err(|e| e.to_string())?;
            let path: Vec<&str> = attribute.split('.').collect();
            nix.flake_at(&found, options)
                .and_then(|flake| nix.select_path(flake, &path))
                .and_then(|value| nix.to_json_text(value))
                .map_err(|error| error.to_string())
        })
    }
}

/// Known answers from C++ Nix 2.34.
#[test]
fn what_is_read_from_the_store_depends_on_what_it_names() {
    let world = World::new(&[]);
    let texts = r#"let t = builtins.toFile "t" "hello"; t2 = builtins.toFile "t2" "hello";
        u = builtins.toFile "u" "see ${t} ${t2}"; s = builtins.readFile u; in
        builtins.attrNames (builtins.getContext (builtins.substring 0 5 s))"#;
    let texts = world.eval(texts).expect("it evaluates");
    assert_eq!(
        texts,
        r#"["/nix/store/gyy3f9vnnczxsni8v16rg6ahws51126w-t2","/nix/store/vqpn17r03lqabwk0wksgpbgy620zwfd4-t"]"#
    );
    let derivation = r#"let y = derivation { name = "y"; system = "x"; builder = "/b"; };
        d = derivation { name = "x"; system = "x"; builder = "/b"; a = "${y}";
          f = builtins.toFile "t" "hello"; }; in
        builtins.attrNames (builtins.getContext (builtins.readFile d.drvPath))"#;
    let derivation = world.eval(derivation).expect("it evaluates");
    assert_eq!(
        derivation,
        r#"["/nix/store/c8fbp2djmxk337s02kpm7xd6sp3v5wcw-y.drv","/nix/store/vqpn17r03lqabwk0wksgpbgy620zwfd4-t"]"#
    );
    // What is copied out of it is written.
    let copied =
        r#"let text = builtins.toFile "u" "x"; in builtins.path { path = text; name = "v"; }"#;
    let copied = world.eval(copied).expect("it evaluates");
    assert_eq!(copied, r#""/nix/store/4r8jdamryb4xy5nd906n09nbpqz0li0y-v""#);
}

#[test]
fn what_evaluation_made_can_be_read_without_a_store() {
    let world = World::new(&[("d/a.nix", "7"), ("d/no", "x")]);
    let get = |text: &str| world.eval(text).expect("it evaluates");
    assert_eq!(get(r#"builtins.readFile (builtins.toFile "x" "abc")"#), "\"abc\"");
    assert_eq!(get(r#"import "${./d}/a.nix""#), "7");
    let derivation = r#"derivation { name = "x"; system = "x"; builder = "b"; }"#;
    assert_eq!(
        get(&format!("builtins.substring 0 13 (builtins.readFile ({derivation}).drvPath)")),
        r#""Derive([(\"out""#
    );
    assert_eq!(get(&format!("builtins.pathExists ({derivation}).drvPath")), "true");
    let filtered = r#"builtins.readDir (builtins.path { path = ./d; name = "d";
        filter = path: _: baseNameOf path != "no"; })"#;
    assert_eq!(get(filtered), r#"{"a.nix":"regular"}"#);
    assert_eq!(get(r#"builtins.pathExists "${./d}/none""#), "false");
    // A part of what is in the store by name only.
    let part = r#"builtins.path { path = "${./d}/a.nix"; name = "n"; }
        == builtins.path { path = ./d/a.nix; name = "n"; }"#;
    assert_eq!(get(part), "true");
    assert!(!world.here().join("root").exists());
}

#[test]
fn what_evaluation_reads_is_built_if_it_may_be() {
    let world = World::new(&[("src.nix", "{ a = 42; }")]);
    let text = r#"(import (derivation { name = "x"; system = "builtin";
        builder = "builtin:fetchurl"; url = "file://@HERE@/src.nix"; outputHashMode = "flat";
        outputHash = builtins.hashFile "sha256" ./src.nix; outputHashAlgo = "sha256"; })).a"#;
    let text = text.replace("@HERE@", &world.here().display().to_string());
    let run = |import_from_derivation| {
        let options = IoOptions { import_from_derivation, ..world.options() };
        world.with(options, false, |nix, _| {
            let value = nix.eval_str(&text, world.here());
            value.and_then(|value| nix.to_json_text(value)).map_err(|error| error.to_string())
        })
    };
    let refused = run(false).expect_err("it may not be built");
    assert!(
        refused.starts_with("cannot build '/nix/store/")
            && refused.ends_with(
                "-x.drv^out' during evaluation because the option 'allow-import-from-derivation' \
                 is disabled"
            ),
        "{refused}"
    );
    assert_eq!(run(true).as_deref(), Ok("42"));
    assert_eq!(run(true).as_deref(), Ok("42"));
}

#[test]
fn fetchers_give_what_they_should_and_check_it() {
    let world = World::new(&[("f", "text"), ("repo/a", "1")]);
    world.git("repo", &["init", "--quiet"]);
    world.git("repo", &["add", "."]);
    world.git("repo", &["commit", "--quiet", "-m", "one"]);
    let get = |text: &str| world.eval(text).expect("it evaluates");
    assert_eq!(get(r#"builtins.readFile (builtins.fetchurl "file://@HERE@/f")"#), "\"text\"");
    assert_eq!(get(r#"builtins.readDir (builtins.fetchGit ./repo)"#), r#"{"a":"regular"}"#);
    assert_eq!(get("(builtins.fetchGit ./repo).revCount"), "1");
    assert_eq!(get("(builtins.fetchGit ./repo).lastModified"), "1700000000");
    let hash = r#"builtins.hashString "sha256" "text""#;
    let fetch = format!(r#"builtins.fetchurl {{ url = "file://@HERE@/f"; sha256 = {hash}; }}"#);
    assert_eq!(
        world.eval_as(&format!("builtins.readFile ({fetch})"), true).as_deref(),
        Ok("\"text\"")
    );
    let wrong = |text: &str, pure| world.eval_as(text, pure).expect_err("it is wrong");
    let error = wrong(
        r#"builtins.fetchurl { url = "file://@HERE@/f"; sha256 = builtins.hashString "sha256" ""; }"#,
        false,
    );
    assert!(error.starts_with("hash mismatch in file downloaded from 'file://"), "{error}");
    let error = wrong(r#"builtins.fetchurl "file://@HERE@/f""#, true);
    assert_eq!(error, "in pure evaluation mode, 'fetchurl' requires a 'sha256' argument");
    let error = wrong(r#"builtins.fetchGit "@HERE@/repo""#, true);
    assert!(
        error.starts_with("in pure evaluation mode, 'fetchGit' doesn't fetch unlocked"),
        "{error}"
    );
}

const TOP: &str = r#"{
  inputs.repo.url = "git+file://@HERE@/repo";
  inputs.repo.inputs.lib.follows = "lib";
  inputs.lib.url = "path:@HERE@/lib";
  inputs.plain = { url = "path:@HERE@/plain"; flake = false; };
  outputs = { self, repo, lib, plain }: {
    sum = repo.y + lib.x;
    plain = builtins.readFile "${plain}/f";
    names = builtins.attrNames plain;
    sub = builtins.match ".*/./sub" repo.subPath != null;
  };
}"#;

fn project() -> World {
    let world = World::new(&[
        ("top/flake.nix", TOP),
        ("lib/flake.nix", "{ outputs = _: { x = 1; }; }"),
        ("other/flake.nix", "{ outputs = _: { x = 10; }; }"),
        ("plain/f", "plain"),
        (
            "repo/flake.nix",
            r#"{ inputs.lib.url = "nothing"; inputs.sub.url = "path:./sub";
              outputs = { self, lib, sub }: { y = lib.x + sub.z; subPath = sub.outPath; }; }"#,
        ),
        ("repo/sub/flake.nix", "{ outputs = _: { z = 3; }; }"),
    ]);
    world.git("repo", &["init", "--quiet"]);
    world.git("repo", &["add", "."]);
    world.git("repo", &["commit", "--quiet", "-m", "one"]);
    world
}

#[test]
fn a_flake_is_locked_and_stays_what_it_was() {
    let world = project();
    let options = FlakeOptions::default();
    let get = |name: &str| world.flake("./top", &options, name).expect("it evaluates");
    assert_eq!(get("sum"), "5");
    let lock = world.read("top/flake.lock");
    let json: serde_json::Value = serde_json::from_str(&lock).expect("it is JSON");
    let rev = world.git("repo", &["rev-parse", "HEAD"]);
    assert_eq!(json["nodes"]["repo"]["locked"]["rev"], rev.as_str());
    assert_eq!(json["nodes"]["repo"]["locked"]["revCount"], 1);
    assert_eq!(json["nodes"]["repo"]["inputs"]["lib"], serde_json::json!(["lib"]));
    assert_eq!(json["nodes"]["sub"]["parent"], serde_json::json!(["repo"]));
    assert_eq!(json["nodes"]["plain"]["flake"], false);
    assert_eq!(get("plain"), "\"plain\"");
    let names = r#"["lastModified","lastModifiedDate","narHash","outPath","sourceInfo"]"#;
    assert_eq!(get("names"), names);
    assert_eq!(get("sub"), "true");
    // What is locked does not change with the world, and is not asked for again.
    world.write("repo/sub/flake.nix", "{ outputs = _: { z = 30; }; }");
    world.git("repo", &["commit", "--quiet", "-am", "two"]);
    std::fs::rename(world.here().join("repo"), world.here().join("away")).expect("moved");
    assert_eq!(get("sum"), "5");
    assert_eq!(world.read("top/flake.lock"), lock);
    std::fs::rename(world.here().join("away"), world.here().join("repo")).expect("moved");
    let update = FlakeOptions { update: vec!["repo".into()], ..FlakeOptions::default() };
    assert_eq!(world.flake("./top", &update, "sum").as_deref(), Ok("32"));
    assert_ne!(world.read("top/flake.lock"), lock);
}

#[test]
fn a_lock_that_does_not_fit_is_an_error() {
    let world = project();
    let options = FlakeOptions::default();
    world.flake("./top", &options, "sum").expect("it evaluates");
    world.write("lib/flake.nix", "{ outputs = _: { x = 2; }; }");
    let error = world.flake("./top", &options, "sum").expect_err("the directory has changed");
    assert!(error.starts_with("NAR hash mismatch in input 'path:"), "{error}");
    world.write("top/flake.nix", &TOP.replace("lib.url", "lib2.url").replace("lib,", "lib2, lib,"));
    let frozen = FlakeOptions { lock: LockMode::Frozen, ..FlakeOptions::default() };
    assert!(world.flake("./top", &frozen, "sum").is_err());
}

#[test]
fn inputs_can_be_overridden_and_named_in_registries() {
    let world = project();
    let other = world.here().join("other").display().to_string();
    let options = FlakeOptions {
        lock: LockMode::Memory,
        overrides: vec![("lib".into(), other.clone())],
        ..FlakeOptions::default()
    };
    assert_eq!(world.flake("./top", &options, "sum").as_deref(), Ok("23"));
    assert!(!world.here().join("top/flake.lock").exists());
    world.write(
        "registry.json",
        r#"{ "version": 2, "flakes": [ {
            "from": { "type": "indirect", "id": "short" },
            "to": { "type": "path", "path": "@HERE@/other" } } ] }"#,
    );
    let mut io = world.options();
    io.registries.user = Some(world.here().join("registry.json"));
    let x = world.with(io, true, |nix, _| {
        let found = FlakeRef::parse("short", true, false).expect("a reference");
        nix.flake_at(&found, &FlakeOptions::default())
            .and_then(|flake| nix.select_path(flake, &["x"]))
            .and_then(|value| nix.to_json_text(value))
            .map_err(|error| error.to_string())
    });
    assert_eq!(x.as_deref(), Ok("10"));
    let error = world.flake("nowhere", &FlakeOptions::default(), "x").expect_err("nobody knows it");
    assert_eq!(error, "cannot find flake 'flake:nowhere' in the flake registries");
}

#[test]
fn self_tells_the_commit_and_a_new_lock_file_is_tracked() {
    let world = World::new(&[
        ("lib/flake.nix", "{ outputs = _: { x = 1; }; }"),
        (
            "r/flake.nix",
            r#"{ inputs.lib.url = "path:@HERE@/lib"; outputs = { self, lib }: {
              commit = self.rev or self.dirtyRev; count = self.revCount or null;
              files = builtins.attrNames (builtins.readDir self); }; }"#,
        ),
        ("r/untracked", ""),
    ]);
    world.git("r", &["init", "--quiet"]);
    world.git("r", &["add", "flake.nix"]);
    world.git("r", &["commit", "--quiet", "-m", "one"]);
    let rev = world.git("r", &["rev-parse", "HEAD"]);
    let get = |name: &str| world.flake("./r", &FlakeOptions::default(), name).expect("evaluates");
    assert_eq!(get("files"), r#"["flake.lock","flake.nix"]"#);
    assert_eq!(get("commit"), format!("\"{rev}-dirty\""));
    world.git("r", &["commit", "--quiet", "-am", "lock"]);
    let rev = world.git("r", &["rev-parse", "HEAD"]);
    assert_eq!((get("commit"), get("count")), (format!("\"{rev}\""), "2".to_owned()));
}

#[test]
fn outputs_are_shown_and_checked() {
    let world = World::new(&[(
        "f/flake.nix",
        r#"{ description = "d"; outputs = { self }: let
            drv = name: derivation { inherit name; system = "sys-x"; builder = "/b"; };
          in {
            packages.sys-x.default = drv "p"; packages.sys-y.default = drv "q";
            checks.sys-x.c = drv "c"; overlays.good = final: prev: { }; overlays.bad = a: b: { };
            apps.sys-x.a = { type = "app"; }; templates.t = { description = "t"; path = ./.; };
            formatter.sys-x = 1; lib.x = throw "not looked at"; odd = 1; devShells.sys-x = { };
          }; }"#,
    )]);
    let mut io = world.options();
    io.system = Some("sys-x".into());
    let (shown, found) = world.with(io, true, |nix, io| {
        let (reference, _) = nix.flake_reference("./f", world.here()).expect("a flake");
        let flake = nix.flake_at(&reference, &FlakeOptions::default()).expect("a flake");
        let found = flake_check::check(nix, &io, flake, false).expect("there are outputs");
        let packages = nix.select_path(flake, &["outputs"]).expect("outputs");
        let part = nix.get(packages, "packages").expect("a set").expect("packages");
        let part = nix.set([("outputs", nix.set([("packages", part)]))]);
        let wanted = flake_show::Wanted { system: "sys-x".into(), ..Default::default() };
        let shown = flake_show::show(nix, part, &wanted).map_err(|error| error.to_string());
        (shown.expect("it is shown"), found)
    });
    assert_eq!(
        shown.to_lines("f"),
        [
            "f",
            "└───packages",
            "    ├───sys-x",
            "    │   └───default: package 'p'",
            "    └───sys-y",
            "        └───default omitted (use '--all-systems' to show)",
        ]
    );
    let wrong: Vec<&str> = found.problems.iter().map(|p| p.attribute.as_str()).collect();
    assert_eq!(wrong, ["apps.sys-x.a", "formatter.sys-x", "overlays.bad"]);
    assert_eq!(found.warnings, ["unknown flake output 'odd'"]);
    assert_eq!(found.checks.len(), 1);
    assert_eq!(found.omitted, ["sys-y"]);
}
