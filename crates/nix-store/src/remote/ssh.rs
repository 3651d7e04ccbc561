//! How the system's `ssh` is called.

use super::address::Protocol;
use std::path::PathBuf;

/// A program on another host.
#[derive(Debug, Clone, Default)]
pub(super) struct Ssh {
    /// `[USER@]HOST`.
    pub destination: String,
    pub port: Option<u16>,
    pub key: Option<PathBuf>,
    pub compress: bool,
    /// Options of the user.
    pub options: Vec<String>,
    /// What runs there: `nix-store`, `nix-daemon` or else `hc`, where it is not said.
    pub program: Option<Vec<String>>,
    /// Which store it serves.
    pub store: Option<String>,
}

impl Ssh {
    /// `[USER@]HOST[:PORT]`; a numeric address of version 6 is in brackets.
    pub fn to(text: &str) -> Result<Self, String> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let (user, host) = match text.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, text),
        };
        let (host, port) = match host.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or("a ] is missing")?;
                let port = match rest {
                    "" => None,
                    _ => Some(rest.strip_prefix(':').ok_or("what follows ] must be a :PORT")?),
                };
                (host, port)
            }
            None => match host.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (host, None),
            },
        };
        if host.is_empty() {
            return Err("it names no host".into());
        }
        // What begins with a dash is an option to ssh, and may name a program to run.
        let bad = |word: &str| {
            word.starts_with('-')
                || word.contains(|c: char| c.is_whitespace() || "/%\\'\"".contains(c))
        };
        if bad(host) || user.is_some_and(bad) {
            return Err(format!("{text:?} is no name of a host"));
        }
        let port = match port {
            None => None,
            Some(port) => Some(port.parse().map_err(|_| format!("{port:?} is no port"))?),
        };
        let destination = user.map_or_else(|| host.to_owned(), |user| format!("{user}@{host}"));
        Ok(Self { destination, port, ..Self::default() })
    }

    /// The arguments of `ssh`.
    pub fn arguments(&self, protocol: Protocol) -> Vec<String> {
        let mut all = vec!["-x".to_owned(), "-T".into()];
        if let Some(key) = &self.key {
            all.extend(["-i".into(), key.display().to_string()]);
        }
        if self.compress {
            all.push("-C".into());
        }
        if let Some(port) = self.port {
            all.extend(["-p".into(), port.to_string()]);
        }
        all.extend(self.options.iter().cloned());
        all.extend(["--".into(), self.destination.clone(), self.command(protocol)]);
        all
    }

    /// The command for the shell of the other host, whichever that is.
    fn command(&self, protocol: Protocol) -> String {
        let (nix, hc, usual) = match protocol {
            Protocol::Serve => ("nix-store --serve --write", "hc store serve --write", "nix-store"),
            Protocol::Worker => ("nix-daemon --stdio", "hc store serve --stdio", "nix-daemon"),
        };
        let flags: &[&str] = match protocol {
            Protocol::Serve => &["--serve", "--write"],
            Protocol::Worker => &["--stdio"],
        };
        let store = self.store.iter().flat_map(|store| ["--store".to_owned(), store.clone()]);
        match &self.program {
            Some(program) => {
                let words = program.iter().cloned();
                let words = words.chain(flags.iter().map(|flag| (*flag).to_owned())).chain(store);
                words.map(|word| quote(&word)).collect::<Vec<_>>().join(" ")
            }
            None => {
                let store: String = store.map(|word| format!(" {}", quote(&word))).collect();
                let script = format!(
                    "if command -v {usual} >/dev/null 2>&1; then exec {nix}{store}; fi; exec {hc}{store}"
                );
                format!("sh -c {}", quote(&script))
            }
        }
    }
}

/// As one word of a POSIX shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;
    use std::io::Write;
    use std::process::Command;

    /// What the shell of the other host makes of the command, where only these programs are.
    fn run(ssh: &Ssh, programs: &[&str]) -> String {
        let dir = tempfile::tempdir().unwrap();
        for program in programs {
            let text =
                format!("#!/bin/sh\nfor word in {program} \"$@\"; do echo \"<$word>\"; done\n");
            let file = dir.path().join(program);
            hc_fs::plain::create_new(&file, 0o755).unwrap().write_all(text.as_bytes()).unwrap();
        }
        std::os::unix::fs::symlink("/bin/sh", dir.path().join("sh")).unwrap();
        let ran = Command::new("/bin/sh")
            .args(["-c", &ssh.command(Protocol::Serve)])
            .env("PATH", dir.path())
            .output()
            .unwrap();
        String::from_utf8(ran.stdout).unwrap().replace('\n', " ")
    }

    #[test]
    fn the_far_end_is_nix_or_else_hc() {
        let ssh = Ssh { store: Some("/it's $HOME".into()), ..Ssh::to("host").unwrap() };
        let both = run(&ssh, &["hc", "nix-store"]);
        insta::assert_snapshot!(both, @"<nix-store> <--serve> <--write> <--store> </it's $HOME> ");
        let only = run(&ssh, &["hc"]);
        insta::assert_snapshot!(only, @"<hc> <store> <serve> <--write> <--store> </it's $HOME> ");
        let program = Some(vec!["hc".into(), "x `y`".into()]);
        let named = run(&Ssh { program, ..ssh }, &["hc", "nix-store"]);
        insta::assert_snapshot!(named, @"<hc> <x `y`> <--serve> <--write> <--store> </it's $HOME> ");
    }
}
