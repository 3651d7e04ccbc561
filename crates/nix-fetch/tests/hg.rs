//! Mercurial: work trees, commits, names of commits, copies of repositories elsewhere.
#![allow(clippy::disallowed_methods)]

use nix_compat::flake_ref::{FlakeRef, Input};
use nix_fetch::{Config, Content, Fetcher, Tree};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

struct World {
    dir: tempfile::TempDir,
}

impl World {
    /// A repository `r` with a commit on `default`, tagged, and one on `dev`.
    fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().expect("a directory") };
        world.write("r/a", "one");
        world.write("r/sub/b", "b");
        std::os::unix::fs::symlink("a", world.path("r/l")).expect("a link");
        world.hg(&["init", "."]);
        world.commit("one", 0);
        world.hg(&["branch", "dev"]);
        world.write("r/c", "c");
        world.commit("two", 1);
        world.hg(&["update", "default"]);
        world.hg(&["tag", "--rev", "0", "--date", "1700000002 0", "--user", "a", "v1"]);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }

    fn hg(&self, arguments: &[&str]) -> String {
        let output = Command::new("hg")
            .current_dir(self.path("r"))
            .env("HGPLAIN", "")
            .args(arguments)
            .output()
            .expect("hg runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn commit(&self, message: &str, time: u32) {
        self.hg(&["add", "--quiet"]);
        let date = format!("170000000{time} 0");
        self.hg(&["commit", "--user", "a", "--date", &date, "--message", message]);
    }

    fn node(&self, name: &str) -> String {
        self.hg(&["log", "--rev", name, "--template", "{node}"])
    }

    fn input(&self, query: &str) -> Input {
        let text = format!("hg+file://{}{query}", self.path("r").display());
        FlakeRef::parse(&text, true, false).expect("a reference").input
    }

    fn fetcher(&self, change: impl FnOnce(&mut Config)) -> Fetcher {
        let mut config = Config::new(self.path("cache"));
        change(&mut config);
        Fetcher::new(config)
    }
}

fn kept(tree: &Tree) -> &Path {
    let Content::Kept { path, .. } = &tree.content else { panic!("not in the cache") };
    path
}

fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).expect("a directory");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn commits_by_hash_branch_and_tag() {
    let world = World::new();
    let fetcher = world.fetcher(|_| {});
    let tagged = ".hgtags";
    for (query, name, branch, files) in [
        ("", "default", "default", &[tagged, "a", "l", "sub"][..]),
        ("?ref=dev", "dev", "dev", &["a", "c", "l", "sub"]),
        ("?ref=v1", "v1", "default", &["a", "l", "sub"]),
        (&format!("?rev={}", world.node("dev")), "dev", "dev", &["a", "c", "l", "sub"]),
    ] {
        let tree = fetcher.fetch(&world.input(query)).expect("a tree");
        assert_eq!(names(kept(&tree)), files, "{query}");
        assert_eq!(tree.input.text("rev"), Some(world.node(name).as_str()), "{query}");
        assert_eq!(tree.input.text("ref"), Some(branch), "{query}");
        let count = world.hg(&["log", "--rev", name, "--template", "{rev}"]);
        let counted = tree.input.attrs().get("revCount").and_then(|count| count.int());
        assert_eq!(counted.map(|count| count.to_string()), Some(count), "{query}");
    }
    let missing = fetcher.fetch(&world.input("?ref=nope")).expect_err("no such branch");
    assert!(missing.to_string().contains("unknown revision 'nope'"), "{missing}");
    let missing = fetcher.fetch(&world.input(&format!("?rev={}", "1".repeat(40))));
    assert!(missing.is_err());
}

#[test]
fn a_work_tree_with_changes_is_what_is_tracked() {
    let world = World::new();
    world.write("r/a", "changed");
    world.write("r/added", "");
    world.write("r/unknown", "");
    world.hg(&["add", "added"]);
    world.hg(&["remove", "sub/b"]);
    let tree = world.fetcher(|_| {}).fetch(&world.input("")).expect("a tree");
    let Content::Local { path, files: Some(files) } = &tree.content else { panic!("not local") };
    assert_eq!(*path, world.path("r"));
    let mut files: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
    files.sort_unstable();
    assert_eq!(files, [".hgtags", "a", "added", "l"]);
    assert_eq!((tree.input.text("ref"), tree.input.text("rev")), (Some("default"), None));
    let strict = world.fetcher(|config| config.allow_dirty = false);
    let error = strict.fetch(&world.input("")).expect_err("changes are not wanted");
    assert!(error.to_string().ends_with("is unclean"), "{error}");
    // Who names a branch gets its commit.
    let tree = strict.fetch(&world.input("?ref=default")).expect("a tree");
    assert_eq!(std::fs::read(kept(&tree).join("a")).expect("a file"), b"one");
}

#[test]
fn a_file_is_put_into_the_work_tree_and_committed() {
    let world = World::new();
    let (input, root) = (world.input(""), world.path("r"));
    let put =
        |text: &[u8], message| nix_fetch::put_file(&input, &root, "new".as_ref(), text, message);
    put(b"one", None).expect("it is written");
    assert_eq!(world.hg(&["status"]), "A new");
    put(b"two", Some("a message")).expect("it is committed");
    assert_eq!(world.hg(&["status"]), "");
    assert_eq!(world.hg(&["log", "--limit", "1", "--template", "{desc}"]), "a message");
}

#[test]
fn a_copy_is_brought_up_to_date_when_it_is_old() {
    let world = World::new();
    let lasting = world.fetcher(|_| {});
    let first = lasting.fetch(&world.input("?ref=default")).expect("a tree");
    world.write("r/a", "later");
    world.commit("three", 3);
    let again = lasting.fetch(&world.input("?ref=default")).expect("a tree");
    assert_eq!(first.input, again.input);
    // Who names nothing means what is there now.
    let now = lasting.fetch(&world.input("")).expect("a tree");
    assert_eq!(now.input.text("rev"), Some(world.node("default").as_str()));
    let hasty = world.fetcher(|config| config.ttl = Duration::ZERO);
    let later = hasty.fetch(&world.input("?ref=default")).expect("a tree");
    assert_eq!(later.input.text("rev"), Some(world.node("default").as_str()));
    assert_eq!(std::fs::read(kept(&later).join("a")).expect("a file"), b"later");
    // What is locked is there without asking.
    std::fs::rename(world.path("r"), world.path("moved")).expect("renamed");
    let query = format!("?rev={}", later.input.text("rev").expect("a commit"));
    let offline = hasty.fetch(&world.input(&query)).expect("a tree");
    assert_eq!(kept(&offline), kept(&later));
}
