//! Evaluators that are kept say what a cold evaluation says, whatever happens to the files.
#![allow(clippy::disallowed_methods)]

use hc_deploy::far::{Answer, Evaluators, Order, Service, Wanted, prepare_with};
use hc_deploy::{Registries, Request, prepare};
use nix_compat::StoreDir;
use nix_store::{HostStore, Quiet, Store, StoreConfig};
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;

struct World {
    dir: tempfile::TempDir,
    store: HostStore,
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

const FLAKE: &str = r#"{
  outputs = { self }: {
    clouds.test = (import ./modules { }).mkCloud { modules = [ ./cloud.nix ]; };
  };
}"#;

const CLOUD: &str = r#"{ lib, ... }: {
  cloud.name = "test";
  hosts.one.networks.lan = { };
  hosts.one.machines = lib.genAttrs (import ./names.nix) (name: {
    image = builtins.derivation {
      inherit name;
      system = "builtin";
      builder = "/bin/true";
      source = ./source;
    };
    command = [ "/bin/x" ];
    env.VALUE = import ./value.nix;
    env.MORE = toString (builtins.attrNames (builtins.readDir ./more));
    env.THERE = if builtins.pathExists ./there then "yes" else "no";
    env.TEXT = "${builtins.toFile "text" (builtins.readFile ./text)}";
  });
}"#;

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let root = Some(dir.path().join("root"));
        let store =
            Store::open(StoreConfig { root, ..StoreConfig::default() }).expect("a store").into();
        let world = World { dir, store };
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for part in ["modules", "images"] {
            copy(&top.join(part), &world.dir.path().join("cloud").join(part));
        }
        world.write("flake.nix", FLAKE);
        world.write("cloud.nix", CLOUD);
        world.write("names.nix", r#"[ "a" "b" ]"#);
        world.write("value.nix", r#""one""#);
        world.write("more/x", "");
        world.write("source/x", "");
        world.write("text", "");
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("cloud").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }

    fn request(&self) -> Request {
        request(&self.store, &self.at(""), &self.dir.path().join("cache"))
    }
}

fn request(store: &HostStore, directory: &Path, cache: &Path) -> Request {
    let builder = b"/nix/store/00000000000000000000000000000000-hc-builder";
    Request {
        directory: directory.to_owned(),
        untracked: true,
        cloud: None,
        host: None,
        overrides: Vec::new(),
        builder: StoreDir::default().parse_path(builder).expect("a path"),
        store: store.clone(),
        cache: None,
        version: "1".into(),
        fetch: Some(nix_fetch::Config::new(cache.to_owned())),
        registries: Registries { global: String::new(), ..Registries::default() },
        features: Vec::new(),
        show_trace: false,
        colour: false,
        message: |_| {},
    }
}

type Open = Box<dyn Fn(&Wanted) -> hc_deploy::Result<Request>>;

/// An agent in this process: what is for later is done at once.
struct Agent {
    kept: RefCell<Evaluators<Open>>,
    answers: RefCell<Vec<&'static str>>,
    gone: Cell<bool>,
}

impl Agent {
    fn new(world: &World) -> Rc<Self> {
        let (store, cache) = (world.store.clone(), world.dir.path().join("cache"));
        let open: Open = Box::new(move |wanted| Ok(request(&store, &wanted.directory, &cache)));
        let kept = RefCell::new(Evaluators::new(open));
        Rc::new(Self { kept, answers: RefCell::default(), gone: Cell::new(false) })
    }

    fn last(&self) -> Option<&'static str> {
        self.answers.borrow().last().copied()
    }
}

impl Service for Agent {
    fn ask(&self, order: &Order) -> Option<Answer> {
        if self.gone.get() {
            return None;
        }
        // Everything goes as JSON, as between two processes.
        let order = serde_json::to_string(order).expect("JSON");
        let answer = self.kept.borrow_mut().answer(serde_json::from_str(&order).expect("JSON"));
        self.answers.borrow_mut().push(match &answer {
            Answer::Declined { .. } => "declined",
            Answer::Warm { .. } => "warm",
            Answer::Evaluated(_) => "evaluated",
            Answer::Failed { .. } => "failed",
            Answer::Written => "written",
        });
        Some(answer)
    }

    fn later(&self, order: Order) {
        self.ask(&order);
    }
}

fn shown(prepared: hc_deploy::Result<hc_deploy::Prepared<'_>>) -> Result<String, String> {
    prepared
        .map(|prepared| format!("{:?} {:?}", prepared.machine_set(), prepared.warnings()))
        .map_err(|error| error.to_string())
}

#[test]
fn edits_give_what_a_cold_evaluation_gives() {
    let world = World::new();
    let agent = Agent::new(&world);
    let both = |what: &str| {
        let warm = shown(prepare_with(world.request(), agent.clone()));
        assert_eq!(warm, shown(prepare(&world.request())), "{what}");
        warm
    };
    assert!(both("the first time").is_ok());
    assert_eq!(*agent.answers.borrow(), ["declined", "warm"]);
    let edits: &[(&str, Option<&str>)] = &[
        ("value.nix", Some("\"two\"")),
        ("value.nix", Some("# a remark\n\"two\"")),
        ("value.nix", Some("{ mistake = ")),
        ("value.nix", Some("throw \"mistake\"")),
        ("value.nix", Some("\"three\"")),
        ("names.nix", Some("[ \"a\" \"b\" \"c\" ]")),
        ("more/y", Some("")),
        ("there", Some("")),
        ("there", None),
        ("source/x", Some("other")),
        ("source/y", Some("more")),
        ("text", Some("text")),
        ("more/x", None),
        ("names.nix", Some("[ ]")),
        ("names.nix", Some("[ \"c\" ]")),
    ];
    let mut seen = Vec::new();
    for (file, text) in edits {
        match text {
            Some(text) => world.write(file, text),
            None => std::fs::remove_file(world.at(file)).expect("removed"),
        }
        seen.push(both(file));
        assert!(matches!(agent.last(), Some("evaluated" | "failed")), "{file}: {:?}", agent.last());
        assert_eq!(both("the same again"), seen[seen.len() - 1], "{file}");
    }
    // Each but the remark made a difference.
    let different: std::collections::BTreeSet<_> = seen.iter().collect();
    assert!(different.len() >= edits.len() - 3, "{different:?}");
}

#[test]
fn what_prints_messages_is_evaluated_as_a_whole() {
    let world = World::new();
    let agent = Agent::new(&world);
    let cold = || shown(prepare(&world.request()));
    let warm = || shown(prepare_with(world.request(), agent.clone()));
    assert_eq!(warm(), cold());
    world.write("value.nix", "builtins.trace \"here\" \"two\"");
    assert_eq!(warm(), cold());
    assert_eq!(agent.last(), Some("declined"));
    assert_eq!(warm(), cold());
    assert_eq!(agent.last(), Some("declined"), "nobody asks for it to be kept");
    world.write("value.nix", "\"two\"");
    assert_eq!(warm(), cold());
    assert_eq!(agent.last(), Some("warm"));
}

#[test]
fn lock_files_are_written_by_who_asks() {
    let world = World::new();
    world.write("other/flake.nix", "{ outputs = { self }: { }; }");
    let flake = |inputs: &str| {
        FLAKE.replace("outputs = { self }", &format!("{inputs} outputs = {{ self, ... }}"))
    };
    let other = format!("path:{}", world.at("other").display());
    world.write("flake.nix", &flake(&format!("inputs.a.url = \"{other}\";")));
    let agent = Agent::new(&world);
    let ask = || shown(prepare_with(world.request(), agent.clone())).expect("it evaluates");
    ask();
    assert_eq!(
        agent.last(),
        Some("warm"),
        "a lock file that was written is no message of the cloud"
    );
    ask();
    assert_eq!(agent.last(), Some("evaluated"));
    std::fs::remove_file(world.at("flake.lock")).expect("there was one");
    let order = Order::Evaluate(Wanted::of(&world.request()));
    assert!(matches!(agent.ask(&order), Some(Answer::Declined { .. })));
    assert!(!world.at("flake.lock").exists(), "only whoever asks writes");
    ask();
    assert!(world.at("flake.lock").exists());
}

#[test]
fn what_is_needed_is_written_by_who_evaluated_it_or_else_here() {
    for gone in [false, true] {
        let world = World::new();
        // Nothing has to be built: a text and a source are all there is.
        let start = CLOUD.find("image = ").expect("an image");
        let end = CLOUD.find("command").expect("a command");
        let image = "image = \"${./source}\";\n    ";
        world.write("cloud.nix", &format!("{}{image}{}", &CLOUD[..start], &CLOUD[end..]));
        let agent = Agent::new(&world);
        shown(prepare_with(world.request(), agent.clone())).expect("it evaluates");
        world.write("text", "other");
        let prepared = prepare_with(world.request(), agent.clone()).expect("it evaluates");
        assert_eq!(agent.last(), Some("evaluated"));
        agent.gone.set(gone);
        prepared.realise(&world.store, world.dir.path(), &Quiet).expect("it is realised");
        assert_eq!(agent.last(), Some(if gone { "evaluated" } else { "written" }));
        let set = prepared.set_path();
        let set = world.dir.path().join("root").join(set.strip_prefix("/").expect("absolute"));
        assert!(set.join("a").symlink_metadata().is_ok(), "{}", set.display());
    }
}
