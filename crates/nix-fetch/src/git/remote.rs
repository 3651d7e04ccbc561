//! Repositories elsewhere: a bare copy in the cache, brought up to date when it must be.

use super::program::{run, text};
use crate::Fetcher;
use crate::error::{Error, Result};
use nix_compat::flake_ref::Input;
use serde_json::{Map, Value as Json};
use std::path::{Path, PathBuf};

impl Fetcher {
    /// Where the copy of a repository is kept.
    pub(super) fn git_copy(&self, url: &str, shallow: bool) -> Result<PathBuf> {
        let name = crate::cache::digest(url);
        Ok(self
            .cache
            .folder("git")?
            .join(format!("{name}{}", if shallow { "-shallow" } else { "" })))
    }

    /// The branch that a repository is at, as `refs/heads/…`.
    pub(super) fn git_head(&self, url: &str) -> Result<String> {
        let key = format!("git-head {url}");
        if let Some(record) = self.cache.record(&key).filter(|record| !record.expired)
            && let Some(name) = record.text("ref")
        {
            return Ok(name.to_owned());
        }
        let folder = self.cache.folder("git")?;
        let answer = text(&folder, &["ls-remote", "--symref", "--", url, "HEAD"]);
        let head = answer.as_deref().unwrap_or_default().lines().find_map(|line| {
            Some(line.strip_prefix("ref: ")?.split_whitespace().next()?.to_owned())
        });
        match head {
            Some(head) => {
                let mut facts = Map::new();
                facts.insert("ref".into(), Json::from(head.as_str()));
                self.cache.set_record(&key, facts)?;
                Ok(head)
            }
            None => {
                if let Some(old) = self.cache.record(&key)
                    && let Some(name) = old.text("ref")
                {
                    return Ok(name.to_owned());
                }
                self.warn(&format!("could not read HEAD ref from repo at '{url}', using 'master'"));
                Ok("master".into())
            }
        }
    }

    /// Brings the copy of a repository up to date with what `input` needs: where it is, and the
    /// commit.
    pub(super) fn git_update(
        &self,
        input: &Input,
        url: &str,
        name: &str,
    ) -> Result<(PathBuf, String)> {
        let (shallow, all) = (input.flag("shallow"), input.flag("allRefs"));
        let copy = self.git_copy(url, shallow)?;
        let _lock = self.cache.lock(&format!("git {}", copy.display()))?;
        if !copy.join("HEAD").exists() {
            hc_fs::plain::create_dir_all(&copy, 0o755)?;
            run(&copy, &["init", "--quiet", "--bare", "--template=", "."])?;
        }
        let rev = input.rev()?;
        let local =
            if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") };
        let key = format!("git-fetched {} {local}", copy.display());
        let needed = match &rev {
            Some(rev) => !has_commit(&copy, rev),
            None if all => true,
            None => {
                !has_commit(&copy, &local) || self.cache.record(&key).is_none_or(|it| it.expired)
            }
        };
        if needed {
            let what = match &rev {
                _ if all => "refs/*:refs/*".to_owned(),
                Some(rev) => rev.clone(),
                None if name == "HEAD" => "HEAD:HEAD".to_owned(),
                None => format!("{local}:{local}"),
            };
            match self.git_fetch(&copy, url, &what, shallow) {
                Ok(()) => self.cache.set_record(&key, Map::new())?,
                Err(error) if !has_commit(&copy, &local) => return Err(error),
                Err(error) => {
                    self.warn(&error.to_string());
                    self.warn(&format!(
                        "could not update local clone of Git repository '{url}'; continuing with \
                         the most recent version"
                    ));
                }
            }
        }
        if let Some(rev) = rev {
            if has_commit(&copy, &rev) {
                return Ok((copy, rev));
            }
            return Err(Error::Input(format!(
                "Cannot find Git revision '{rev}' in ref '{name}' of repository '{url}'! Please \
                 make sure that the rev exists on the ref you've specified or add allRefs = true; \
                 to fetchGit."
            )));
        }
        let rev = resolve(&copy, name)?;
        Ok((copy, rev))
    }

    fn git_fetch(&self, copy: &Path, url: &str, what: &str, shallow: bool) -> Result<()> {
        let mut arguments =
            vec!["fetch", "--quiet", "--force", "--no-auto-gc", "--no-write-fetch-head"];
        if shallow {
            arguments.extend(["--depth", "1"]);
        }
        arguments.extend(["--", url, what]);
        run(copy, &arguments).map(|_| ()).map_err(|error| {
            (self.config.message)(&error.to_string());
            Error::Input(format!("Failed to fetch git repository '{url}'"))
        })
    }
}

pub(super) fn has_commit(repository: &Path, rev: &str) -> bool {
    run(repository, &["cat-file", "-e", &format!("{rev}^{{commit}}")]).is_ok()
}

/// The commit that a branch, tag or commit is.
pub(super) fn resolve(repository: &Path, name: &str) -> Result<String> {
    let wanted = format!("{name}^{{commit}}");
    text(repository, &["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted]).map_err(
        |_| Error::Input(format!("resolving Git reference '{name}': revspec '{name}' not found")),
    )
}
