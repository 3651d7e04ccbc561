//! Flakes: lazy inputs, relative paths, `self`, lock files, purity.
#![allow(clippy::disallowed_methods)]

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix_lang::{
    Arena, ComputeIo, ContextElem, Derivation, ErrorKind, Evaluator, FetchRequest, Fetched,
    FileType, FlakeOptions, Ingestion, Io, IoError, LockFile, LockMode, PathFilter, Result,
    Settings, StorePath,
};

/// [`ComputeIo`], remembering what was written.
#[derive(Default)]
struct Watching {
    io: ComputeIo,
    locks: Rc<RefCell<Vec<(PathBuf, String)>>>,
}

impl Io for Watching {
    fn read_file(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        self.io.read_file(path)
    }
    fn read_link(&self, path: &Path) -> std::io::Result<PathBuf> {
        self.io.read_link(path)
    }
    fn read_dir(&self, path: &Path) -> std::io::Result<Vec<(Vec<u8>, FileType)>> {
        self.io.read_dir(path)
    }
    fn file_type(&self, path: &Path) -> std::io::Result<Option<FileType>> {
        self.io.file_type(path)
    }
    fn env_var(&self, name: &str) -> Option<Vec<u8>> {
        self.io.env_var(name)
    }
    fn current_system(&self) -> String {
        self.io.current_system()
    }
    fn current_time(&self) -> i64 {
        self.io.current_time()
    }
    fn message(&self, _: &str) {}
    fn add_text(
        &self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> std::result::Result<StorePath, IoError> {
        self.io.add_text(name, contents, references)
    }
    fn add_path(
        &self,
        name: &str,
        path: &Path,
        ingestion: Ingestion,
        filter: Option<PathFilter<'_>>,
    ) -> std::result::Result<StorePath, IoError> {
        self.io.add_path(name, path, ingestion, filter)
    }
    fn add_derivation(&self, path: &StorePath, text: Vec<u8>) -> std::result::Result<(), IoError> {
        self.io.add_derivation(path, text)
    }
    fn is_valid_path(&self, path: &StorePath) -> std::result::Result<bool, IoError> {
        self.io.is_valid_path(path)
    }
    fn realise(
        &self,
        context: &[ContextElem],
    ) -> std::result::Result<Vec<(ContextElem, StorePath)>, IoError> {
        self.io.realise(context)
    }
    fn read_derivation(&self, path: &StorePath) -> std::result::Result<Derivation, IoError> {
        self.io.read_derivation(path)
    }
    fn write_lock(&self, lock: &LockFile<'_>) -> std::result::Result<bool, IoError> {
        let path = lock.root.join(lock.file);
        self.locks.borrow_mut().push((path, lock.contents.to_owned()));
        Ok(true)
    }
    fn fetch(&self, request: &FetchRequest) -> std::result::Result<Fetched, IoError> {
        self.io.fetch(request)
    }
}

fn write(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
}

struct Found {
    json: Result<serde_json::Value>,
    locks: Vec<(PathBuf, String)>,
}

fn eval(dir: &Path, options: &FlakeOptions, select: &[&str]) -> Found {
    let io = Watching::default();
    let locks = io.locks.clone();
    let arena = Arena::new();
    let nix = Evaluator::new(&arena, io, Settings { pure: true, ..Settings::default() });
    let json = nix
        .flake(dir, options)
        .and_then(|flake| nix.select_path(flake, select))
        .and_then(|value| nix.to_json(value))
        .map(|(json, _)| json);
    Found { json, locks: locks.take() }
}

const LIB: &str = r#"{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs";
  outputs = { self, nixpkgs }: {
    double = x: x * 2;
    file = builtins.readFile ./data/text;
    pkgs = nixpkgs.legacyPackages;
  };
}"#;

const HOST: &str = r#"{
  inputs.hc.url = "path:../..";
  inputs.plain = { url = "path:./plain"; flake = false; };
  outputs = { self, hc, plain }: {
    answer = hc.double 21;
    file = hc.file;
    names = builtins.attrNames self.inputs;
    plain = builtins.readFile "${plain}/x";
    where = builtins.match ".*-source/hosts/demo" self.outPath != null;
    hcWhere = builtins.match "[^/]*/nix/store/[^/]*-source" hc.outPath != null;
    sub = "${./plain}";
    text = toString ./plain == self.outPath + "/plain";
    outside = builtins.readFile /etc/passwd;
    forced = hc.pkgs;
    clouds.demo = { builder }: { inherit builder; spec = { out = "${builder}"; }; };
  };
}"#;

fn repository() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    write(
        dir.path(),
        &[
            ("flake.nix", LIB),
            ("data/text", "from the tree"),
            ("hosts/demo/flake.nix", HOST),
            ("hosts/demo/plain/x", "plain text"),
        ],
    );
    let git = |args: &[&str]| {
        let done = std::process::Command::new("git").arg("-C").arg(dir.path()).args(args).output();
        assert!(done.expect("git is there").status.success());
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    dir
}

#[test]
fn relative_inputs_and_self() {
    let dir = repository();
    let host = dir.path().join("hosts/demo");
    let options = FlakeOptions { lock: LockMode::Memory, lenient: true, ..FlakeOptions::default() };
    let get = |name: &str| eval(&host, &options, &[name]).json.expect("it evaluates").to_string();
    assert_eq!(get("answer"), "42");
    assert_eq!(get("file"), "\"from the tree\"");
    assert_eq!(get("names"), r#"["hc","plain"]"#);
    assert_eq!(get("plain"), "\"plain text\"");
    assert_eq!(get("where"), "true");
    assert_eq!(get("hcWhere"), "true");
    assert_eq!(get("text"), "true");
    assert!(get("sub").ends_with("-plain\""));
}

#[test]
fn inputs_that_cannot_be_fetched_fail_only_when_used() {
    let dir = repository();
    let host = dir.path().join("hosts/demo");
    let options = FlakeOptions { lock: LockMode::Memory, lenient: true, ..FlakeOptions::default() };
    assert!(eval(&host, &options, &["answer"]).json.is_ok());
    let forced = eval(&host, &options, &["forced"]);
    assert!(forced.json.is_err());
    let outside = eval(&host, &options, &["outside"]).json.expect_err("it is outside");
    assert_eq!(outside.kind(), ErrorKind::Impure);
}

#[test]
fn the_lock_file_is_written_and_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let lib = r#"{ outputs = { self }: { x = 1; }; }"#;
    let top = r#"{ inputs.a.url = "path:./a"; inputs.b.follows = "a"; outputs = { self, a, b }: { y = a.x + b.x; }; }"#;
    write(dir.path(), &[("flake.nix", top), ("a/flake.nix", lib)]);
    let found = eval(dir.path(), &FlakeOptions::default(), &["y"]);
    assert_eq!(found.json.expect("it evaluates").to_string(), "2");
    let [(path, text)] = found.locks.as_slice() else { panic!("one lock file") };
    assert_eq!(*path, dir.path().join("flake.lock"));
    let json: serde_json::Value = serde_json::from_str(text).expect("a lock file is JSON");
    assert_eq!(json["nodes"]["a"]["parent"], serde_json::json!([]));
    assert_eq!(json["nodes"]["root"]["inputs"]["b"], serde_json::json!(["a"]));
    write(dir.path(), &[("flake.lock", text)]);
    let again = eval(dir.path(), &FlakeOptions::default(), &["y"]);
    assert!(again.locks.is_empty());
    let frozen = FlakeOptions { lock: LockMode::Frozen, ..FlakeOptions::default() };
    assert_eq!(eval(dir.path(), &frozen, &["y"]).json.expect("nothing changed").to_string(), "2");
}

#[test]
fn an_input_can_be_overridden() {
    let dir = tempfile::tempdir().expect("a folder");
    let lib = |x: u32| format!("{{ outputs = {{ self }}: {{ x = {x}; }}; }}");
    let top = r#"{ inputs.a.url = "github:nobody/nothing"; outputs = { self, a }: { y = a.x; }; }"#;
    write(dir.path(), &[("top/flake.nix", top), ("mine/flake.nix", &lib(7))]);
    let mine = dir.path().join("mine").to_string_lossy().into_owned();
    let overrides = vec![("a".to_owned(), mine)];
    let options = FlakeOptions { lock: LockMode::Memory, overrides, ..FlakeOptions::default() };
    let found = eval(&dir.path().join("top"), &options, &["y"]);
    assert_eq!(found.json.expect("it evaluates").to_string(), "7");

    // Who wants the lock file itself gets it with what was overridden; others leave it alone.
    let options = FlakeOptions { lock: LockMode::Write, ..options };
    assert!(eval(&dir.path().join("top"), &options, &["y"]).locks.is_empty());
    let options = FlakeOptions { save_overrides: true, ..options };
    let found = eval(&dir.path().join("top"), &options, &["y"]);
    let [(_, text)] = found.locks.as_slice() else { panic!("one lock file") };
    let json: serde_json::Value = serde_json::from_str(text).expect("a lock file is JSON");
    assert_eq!(json["nodes"]["a"]["locked"]["type"], "path");
}

#[test]
fn a_cloud_is_applied_and_its_context_read_per_part() {
    let dir = repository();
    let arena = Arena::new();
    let settings = Settings { pure: true, ..Settings::default() };
    let nix = Evaluator::new(&arena, ComputeIo::new(), settings);
    let options = FlakeOptions { lock: LockMode::Memory, lenient: true, ..FlakeOptions::default() };
    let flake = nix.flake(dir.path().join("hosts/demo"), &options).expect("a flake");
    let cloud = nix.select_path(flake, &["clouds", "demo"]).expect("the cloud");
    let path: StorePath =
        "/nix/store/47y3wdfx8p4gqkv2knk1qjqvvp4nr3rq-hc-builder".parse().expect("a store path");
    let builder = nix.string_with_context(&path.to_string(), [ContextElem::Opaque(path.clone())]);
    let cloud = nix.apply(cloud, nix.set([("builder", builder)])).expect("it applies");
    let spec = nix.select_path(cloud, &["spec"]).expect("the spec");
    let (json, context) = nix.to_json(spec).expect("JSON");
    assert_eq!(json["out"], path.to_string());
    assert_eq!(context, [ContextElem::Opaque(path)]);
    let error = nix.select_path(flake, &["clouds", "dmeo"]).expect_err("there is no such cloud");
    assert_eq!(error.help(), Some("Did you mean demo?"));
}

#[test]
fn untracked_files_are_not_there() {
    let dir = repository();
    write(dir.path(), &[("data/new", "not tracked")]);
    write(
        dir.path(),
        &[(
            "hosts/demo/flake.nix",
            "{ outputs = _: { r = builtins.pathExists ../../data/new; d = builtins.attrNames (builtins.readDir ../../data); }; }",
        )],
    );
    let host = dir.path().join("hosts/demo");
    let options = FlakeOptions::default();
    assert_eq!(eval(&host, &options, &["r"]).json.expect("it evaluates").to_string(), "false");
    assert_eq!(
        eval(&host, &options, &["d"]).json.expect("it evaluates").to_string(),
        r#"["text"]"#
    );
}

#[test]
fn a_lock_file_whose_paths_start_from_themselves_is_made_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let top = r#"{ inputs.a.url = "path:./a"; outputs = { self, a }: { x = a.double 2; }; }"#;
    let lock = r#"{
      "nodes": {
        "root": { "inputs": { "a": "a" } },
        "a": {
          "locked": { "type": "path", "path": "./a" },
          "original": { "type": "path", "path": "./a" },
          "parent": ["a"]
        }
      },
      "root": "root", "version": 7
    }"#;
    write(dir.path(), &[("flake.nix", top), ("flake.lock", lock), ("a/flake.nix", LIB)]);
    let options = FlakeOptions { lock: LockMode::Memory, lenient: true, ..FlakeOptions::default() };
    let found = eval(dir.path(), &options, &["x"]);
    assert_eq!(found.json.expect("the input is locked again").to_string(), "4");
}

#[test]
fn settings_of_the_flake_that_was_asked_for_are_named() {
    let (top, input) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = input.path().display();
    let flake = |settings: &str, more: &str| {
        format!("{{ nixConfig = {settings}; {more} outputs = _: {{ a = 1; }}; }}")
    };
    write(input.path(), &[("flake.nix", &flake("{ z = 1; }", ""))]);
    let more = format!(r#"inputs.one.url = "path:{dir}";"#);
    write(top.path(), &[("flake.nix", &flake(r#"{ b = "x"; a = 1; }"#, &more))]);
    let arena = Arena::new();
    let nix =
        Evaluator::new(&arena, ComputeIo::new(), Settings { pure: true, ..Settings::default() });
    let options = FlakeOptions { lock: LockMode::Memory, ..FlakeOptions::default() };
    assert!(nix.ignored_settings().is_empty());
    nix.flake(top.path(), &options).expect("a flake");
    assert_eq!(nix.ignored_settings(), ["a", "b"]);
    nix.flake(input.path(), &options).expect("a flake");
    assert_eq!(nix.ignored_settings(), ["z"]);
}

#[test]
fn settings_in_a_flake_are_plain_data() {
    let with = |settings: &str| {
        let dir = tempfile::tempdir().expect("a directory");
        let flake = format!("{{ nixConfig = {settings}; outputs = _: {{ a = 1; }}; }}");
        write(dir.path(), &[("flake.nix", &flake)]);
        let json = eval(dir.path(), &FlakeOptions::default(), &["a"]).json;
        json.map(|json| json.to_string()).map_err(|error| error.message().to_owned())
    };
    let plain = r#"{ a = "x"; b = [ "x" ]; c = 1; d = true; e = ./flake.nix; }"#;
    assert_eq!(with(plain).as_deref(), Ok("1"));
    let refused = |settings: &str, why: &str| {
        assert_eq!(with(settings), Err(why.to_owned()), "{settings}");
    };
    refused("{ a = { }; }", "flake configuration setting 'a' is a set");
    refused("{ a = null; }", "flake configuration setting 'a' is null");
    assert!(with("{ a = [ 1 ]; }").is_err());
    assert!(with(r#""x""#).is_err());
}

/// Each with what C++ Nix 2.34 says.
#[test]
fn what_a_flake_says_is_written_not_computed() {
    let with = |text: &str| {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path(), &[("flake.nix", text)]);
        let options = FlakeOptions { lock: LockMode::Memory, ..FlakeOptions::default() };
        let json = eval(dir.path(), &options, &["a"]).json;
        json.map(|json| json.to_string()).map_err(|error| error.message().to_owned())
    };
    let outputs = "outputs = _: { a = 1; };";
    for good in [
        r#"nixConfig = rec { a = "x"; b = a; };"#,
        r#"nixConfig.${"a"} = 1;"#,
        "nixConfig.a = [ ];",
        r#"description = ''x'';"#,
        r#"inputs = rec { }; inputs.self.submodules = true;"#,
        "nixConfig.a = true;",
    ] {
        assert_eq!(with(&format!("{{ {good} {outputs} }}")).as_deref(), Ok("1"), "{good}");
    }
    let thunk = "flake configuration setting 'a' is a thunk";
    for (bad, why) in [
        ("nixConfig.a = 1 + 1;", thunk),
        ("nixConfig.a = -1;", thunk),
        (r#"nixConfig.a = "a${"b"}";"#, thunk),
        ("nixConfig = rec { a = b; b = c; c = 1 + 1; };", thunk),
        ("nixConfig = let in { a = 1; };", "expected a set but got a thunk"),
        (r#"description = "a" + "b";"#, "expected a string but got a thunk"),
        ("description = 1;", "expected a string but got an integer"),
        ("inputs = builtins.mapAttrs (n: v: v) { };", "expected a set but got a thunk"),
        (r#"inputs.b.url = "path:" + "/x";"#, "expected a string or a path but got a thunk"),
        ("inputs.b.url = 1;", "expected a string or a path but got an integer"),
        ("inputs.b.flake = !true;", "expected a Boolean but got a thunk"),
        (r#"inputs.b.follows = "a" + "b";"#, "expected a string but got a thunk"),
        (
            "inputs.self.submodules = 1 == 1;",
            "flake input attribute 'submodules' is a thunk while a string, Boolean, or integer is expected",
        ),
    ] {
        assert_eq!(with(&format!("{{ {bad} {outputs} }}")), Err(why.to_owned()), "{bad}");
    }
    let computed = "expected a function but got a thunk";
    assert_eq!(with("{ outputs = let in _: { a = 1; }; }"), Err(computed.to_owned()));
    let message = with(&format!("let in {{ {outputs} }}")).expect_err("it is no set as written");
    assert!(message.ends_with("/flake.nix' must be an attribute set"), "{message}");
}
