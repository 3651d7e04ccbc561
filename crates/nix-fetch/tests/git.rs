//! Repositories: work trees, commits, copies of bare ones, submodules.
#![allow(clippy::disallowed_methods)]

use nix_compat::flake_ref::{Attr, FlakeRef, Input};
use nix_fetch::{Config, Content, Fetcher, Tree};
use std::path::{Path, PathBuf};
use std::process::Command;

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn git(&self, at: &str, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.path(at))
            .args(["-c", "user.name=a", "-c", "user.email=a@example.org"])
            .args(["-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"])
            .args(arguments)
            .env("GIT_COMMITTER_DATE", "1700000000 +0000")
            .env("GIT_AUTHOR_DATE", "1700000000 +0000")
            .output()
            .expect("git runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }

    /// A repository with one commit.
    fn repository(&self, name: &str, files: &[(&str, &str)]) -> String {
        for (file, text) in files {
            self.write(&format!("{name}/{file}"), text);
        }
        self.git(name, &["init", "--quiet"]);
        self.git(name, &["add", "."]);
        self.git(name, &["commit", "--quiet", "-m", "one"]);
        self.git(name, &["rev-parse", "HEAD"])
    }

    fn fetcher(&self) -> Fetcher {
        Fetcher::new(Config::new(self.path("cache")))
    }

    fn input(&self, name: &str, query: &str) -> Input {
        let text = format!("git+file://{}{query}", self.path(name).display());
        FlakeRef::parse(&text, true, false).expect("a reference").input
    }
}

fn kept(tree: &Tree) -> &Path {
    match &tree.content {
        Content::Kept { path, .. } => path,
        Content::Local { .. } => panic!("it is local"),
    }
}

fn files(tree: &Tree) -> Vec<String> {
    match &tree.content {
        Content::Local { files: Some(files), .. } => {
            files.iter().map(|file| file.display().to_string()).collect()
        }
        _ => panic!("it is not local"),
    }
}

#[test]
fn a_work_tree_is_what_git_tracks_in_it() {
    let world = World::new();
    let rev = world.repository("r", &[("a", "1"), ("d/b", "2")]);
    let fetcher = world.fetcher();
    let clean = fetcher.fetch(&world.input("r", "")).expect("it is fetched");
    assert_eq!(clean.input.text("rev"), Some(rev.as_str()));
    assert_eq!(clean.input.text("ref"), Some("refs/heads/main"));
    assert_eq!(files(&clean), ["a", "d/b"]);
    assert_eq!(clean.facts, ["lastModified", "revCount"]);
    let fact = |name| fetcher.fact(&clean.input, name).expect("it is known");
    assert_eq!((fact("lastModified"), fact("revCount")), (Attr::Int(1_700_000_000), Attr::Int(1)));
    world.write("r/a", "changed");
    world.write("r/new", "not tracked");
    world.write("r/staged", "tracked");
    world.git("r", &["add", "staged"]);
    std::fs::remove_file(world.path("r/d/b")).expect("it was there");
    let dirty = fetcher.fetch(&world.input("r", "")).expect("it is fetched");
    assert_eq!(dirty.input.text("rev"), None);
    assert_eq!(dirty.input.text("dirtyRev"), Some(format!("{rev}-dirty").as_str()));
    assert_eq!(dirty.input.text("dirtyShortRev"), Some(format!("{}-dirty", &rev[..7]).as_str()));
    assert_eq!(files(&dirty), ["a", "staged"]);
}

#[test]
fn a_commit_is_its_bytes_whatever_lies_in_the_work_tree() {
    let world = World::new();
    let attributes = "no export-ignore\nodd export-ignore=odd\ntext export-subst\n";
    world.repository(
        "r",
        &[
            ("a", "1"),
            ("no", "x"),
            ("odd", "y"),
            ("text", "$Format:%H$"),
            (".gitattributes", attributes),
        ],
    );
    world.write("r/a", "changed");
    let fetcher = world.fetcher();
    let tree = fetcher.fetch(&world.input("r", "?ref=main")).expect("it is fetched");
    let read = |name: &str| std::fs::read_to_string(kept(&tree).join(name)).expect("a file");
    assert_eq!(
        (read("a"), read("no"), read("text")),
        ("1".into(), "x".into(), "$Format:%H$".into())
    );
    let ignoring = fetcher.fetch(&world.input("r", "?ref=main&exportIgnore=1"));
    let ignoring = ignoring.expect("it is fetched");
    assert!(!kept(&ignoring).join("no").exists() && kept(&ignoring).join("a").exists());
    assert!(kept(&ignoring).join("odd").exists());
    let missing = fetcher.fetch(&world.input("r", "?ref=nothing")).expect_err("there is none");
    assert!(missing.to_string().contains("revspec 'nothing' not found"), "{missing}");
}

#[test]
fn a_bare_repository_is_copied_and_brought_up_to_date() {
    let world = World::new();
    let first = world.repository("r", &[("a", "1")]);
    let bare = world.path("bare.git").display().to_string();
    world.git("r", &["clone", "--quiet", "--bare", ".", &bare]);
    let old = world.fetcher();
    let tree = old.fetch(&world.input("bare.git", "")).expect("it is fetched");
    assert_eq!(tree.input.text("rev"), Some(first.as_str()));
    assert_eq!(tree.input.text("ref"), Some("refs/heads/main"));
    world.write("r/a", "2");
    world.git("r", &["commit", "--quiet", "-am", "two"]);
    world.git("r", &["push", "--quiet", &bare, "main"]);
    let second = world.git("r", &["rev-parse", "HEAD"]);
    let rev = |fetcher: &Fetcher, query: &str| {
        let tree = fetcher.fetch(&world.input("bare.git", query)).expect("it is fetched");
        tree.input.text("rev").map(str::to_owned)
    };
    // What a branch is counts for a while; a commit that is not there yet is fetched.
    assert_eq!(rev(&old, ""), Some(first.clone()));
    assert_eq!(rev(&old, &format!("?rev={second}")), Some(second.clone()));
    let mut config = Config::new(world.path("cache"));
    config.ttl = std::time::Duration::ZERO;
    assert_eq!(rev(&Fetcher::new(config), ""), Some(second));
    let none = format!("?rev={}", "1".repeat(40));
    let error = old.fetch(&world.input("bare.git", &none)).expect_err("there is no such commit");
    assert!(error.to_string().starts_with("Cannot find Git revision"), "{error}");
    std::fs::rename(world.path("bare.git"), world.path("gone")).expect("it is moved");
    let error = world.fetcher().fetch(&world.input("bare.git", "")).expect_err("it is gone");
    assert!(error.to_string().contains("does not exist"), "{error}");
}

#[test]
fn submodules_are_part_of_the_tree_when_wanted() {
    let world = World::new();
    world.repository("inner", &[("i", "in")]);
    world.repository("r", &[("a", "1")]);
    world.git("r", &["submodule", "--quiet", "add", "../inner", "sub"]);
    // Relative to where the repository came from; here, it is where it lies.
    world.git("r", &["commit", "--quiet", "-am", "submodule"]);
    let fetcher = world.fetcher();
    let without = fetcher.fetch(&world.input("r", "?ref=main")).expect("it is fetched");
    assert_eq!(std::fs::read_dir(kept(&without).join("sub")).expect("a directory").count(), 0);
    let with = fetcher.fetch(&world.input("r", "?ref=main&submodules=1")).expect("it is fetched");
    assert_eq!(std::fs::read_to_string(kept(&with).join("sub/i")).expect("a file"), "in");
    let local = fetcher.fetch(&world.input("r", "?submodules=1")).expect("it is fetched");
    assert_eq!(files(&local), [".gitmodules", "a", "sub/i"]);
    assert_eq!(
        files(&fetcher.fetch(&world.input("r", "")).expect("fetched")),
        [".gitmodules", "a"]
    );
}

#[test]
fn many_at_once_share_the_cache() {
    let world = World::new();
    world.repository("r", &[("a", "1"), ("b/c", "2")]);
    let input = world.input("r", "?ref=main");
    let paths: Vec<PathBuf> = std::thread::scope(|scope| {
        let fetch = || kept(&world.fetcher().fetch(&input).expect("it is fetched")).to_owned();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(fetch)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    assert!(paths.iter().all(|path| *path == paths[0] && path.join("b/c").exists()));
    assert_eq!(std::fs::read_dir(world.path("cache/tmp")).expect("a directory").count(), 0);
}

#[test]
fn large_files_are_fetched_when_wanted() {
    let world = World::new();
    let lfs = "*.bin filter=lfs diff=lfs merge=lfs -text\n";
    world.write("r/.gitattributes", lfs);
    world.git("r", &["init", "--quiet"]);
    world.git("r", &["lfs", "install", "--local"]);
    world.git("r", &["checkout", "--quiet", "-b", "main"]);
    world.repository("r", &[("a.bin", "large"), ("sub/b.bin", "larger"), ("c", "plain")]);
    let bare = world.path("bare.git");
    let url = format!("file://{}", bare.display());
    world.git(".", &["init", "--quiet", "--bare", "bare.git"]);
    world.git("r", &["remote", "add", "origin", &url]);
    world.git("r", &["push", "--quiet", "origin", "main"]);
    let fetcher = world.fetcher();
    let read = |name: &str, query: &str, file: &str| {
        let tree = fetcher.fetch(&world.input(name, query)).expect("it is fetched");
        std::fs::read_to_string(kept(&tree).join(file)).expect("a file")
    };
    assert!(read("bare.git", "?ref=main", "a.bin").starts_with("version https://git-lfs"));
    for (file, text) in [("a.bin", "large"), ("sub/b.bin", "larger"), ("c", "plain")] {
        assert_eq!(read("bare.git", "?ref=main&lfs=1", file), text);
        // The content is in the work tree's own repository.
        assert_eq!(read("r", "?ref=main&lfs=1", file), text);
    }
    // One that its server does not have.
    std::fs::remove_dir_all(bare.join("lfs")).expect("it is removed");
    let config = Config::new(world.path("other cache"));
    let error = Fetcher::new(config).fetch(&world.input("bare.git", "?ref=main&lfs=1"));
    let error = error.expect_err("it is not there").to_string();
    assert!(error.starts_with("git lfs smudge 'a.bin'"), "{error}");
}
