//! Programs of the image that are run when a machine goes on as another one: who keeps secrets in memory
//! is told there to make new ones.

use super::freezer::Freezer;
use super::program::PATH;
use crate::sys::{self, at, process};
use crate::wire::Payload;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Where they lie. Those that may be executed are run in the order of their names, one after the other.
pub const DIRECTORY: &str = "/etc/hc/forked.d";

/// Begins to run them, with the payload's variables; what they say goes to the console.
pub fn run(freezer: &Freezer, payload: &Payload) {
    let programs = programs(DIRECTORY);
    if programs.is_empty() {
        return;
    }
    match freezer.fork() {
        Ok(None) => {}
        Ok(Some(_)) => return,
        Err(error) => return sys::say(&format!("hc: cannot run {DIRECTORY}: {error}\n")),
    }
    process::unmask();
    process::new_session();
    let _ = process::spare(false);
    let mut environment = [format!("PATH={PATH}"), "HOME=/root".into()].to_vec();
    for (key, value) in &payload.environment {
        let begin = format!("{key}=");
        environment.retain(|other: &String| !other.starts_with(&begin));
        environment.push(begin + value);
    }
    for program in programs {
        match process::fork() {
            Ok(None) => {
                let arguments = [program.clone()];
                let error = process::exec(&program, &arguments, &environment);
                sys::say(&format!("hc: cannot execute {program}: {error}\n"));
                sys::exit(127)
            }
            Ok(Some(child)) => process::wait_for(child),
            Err(error) => sys::say(&format!("hc: cannot execute {program}: {error}\n")),
        }
    }
    sys::exit(0)
}

/// Files in a directory that may be executed, in order.
fn programs(directory: &str) -> Vec<String> {
    let mut names = sys::list(directory).unwrap_or_default();
    names.sort_unstable();
    let paths = names.into_iter().map(|name| format!("{directory}/{name}"));
    let may_run = |path: &String| {
        let found = sys::open(path, at::PATH).and_then(|file| at::stat(&file));
        found.is_ok_and(|s| s.mode & at::TYPE == at::TYPE_FILE && s.mode & 0o111 != 0)
    };
    paths.filter(may_run).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_may_be_executed_is_run_in_order() {
        let dir = std::env::temp_dir().join(format!("hc-guest-hooks-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("10-directory")).unwrap();
        for (name, mode) in [("20-b", 0o755), ("05-a", 0o700), ("15-text", 0o644)] {
            std::fs::write(dir.join(name), "").unwrap();
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(dir.join(name), mode).unwrap();
        }
        let shown = dir.to_str().unwrap();
        let expected = ["05-a", "20-b"].map(|name| format!("{shown}/{name}"));
        assert_eq!(super::programs(shown), expected);
        assert!(super::programs("/no/such/directory").is_empty());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
