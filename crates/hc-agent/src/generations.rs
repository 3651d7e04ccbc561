//! Numbered machine sets, and the one switch between them. Needs no agent.
//!
//! ```text
//! <state>/generations/7 -> /nix/store/…-machine-set
//! <state>/current       -> generations/7      the only switch
//! <state>/previous      -> generations/6      where a plain rollback goes
//! <state>/next                                number of the next one: numbers are never used twice
//! ```

use crate::error::{AgentError, Context, Result};
use hc_fs::durable;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The generations in one state directory.
#[derive(Debug, Clone)]
pub struct Generations {
    state_dir: PathBuf,
}

/// One generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Generation {
    /// Its number.
    pub number: u64,
    /// Store path of its machine set.
    pub set: PathBuf,
    /// Unix milliseconds at which it was made.
    pub created: u64,
    /// Whether it is in effect.
    pub current: bool,
    /// Whether a plain rollback goes to it.
    pub previous: bool,
}

impl Generations {
    /// Those in `state_dir`, which need not exist yet.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self { state_dir: state_dir.into() }
    }

    /// Where the symlink of generation `number` is.
    #[must_use]
    pub fn link(&self, number: u64) -> PathBuf {
        self.directory().join(number.to_string())
    }

    fn directory(&self) -> PathBuf {
        self.state_dir.join("generations")
    }

    /// All of them, oldest first.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Generation>> {
        let directory = self.directory();
        let entries = match std::fs::read_dir(&directory) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.on("read", &directory)?,
        };
        let (current, previous) = (self.current()?, self.previous()?);
        let mut all = Vec::new();
        for entry in entries {
            let name = entry.on("read", &directory)?.file_name();
            let Some(number) = name.to_str().and_then(number_of) else { continue };
            // Pruned meanwhile: then it is not one of them any more.
            let Some((set, created)) = self.read(number)? else { continue };
            let (current, previous) = (current == Some(number), previous == Some(number));
            all.push(Generation { number, set, created, current, previous });
        }
        all.sort_by_key(|g| g.number);
        Ok(all)
    }

    fn read(&self, number: u64) -> Result<Option<(PathBuf, u64)>> {
        let link = self.link(number);
        let set = match std::fs::read_link(&link) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            set => set.on("read the link", &link)?,
        };
        let created = std::fs::symlink_metadata(&link)
            .and_then(|m| m.modified())
            .ok()
            .and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok())
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        Ok(Some((set, created)))
    }

    /// The machine set of generation `number`.
    ///
    /// # Errors
    /// When there is no such generation.
    pub fn set(&self, number: u64) -> Result<PathBuf> {
        self.read(number)?.map(|(set, _)| set).ok_or(AgentError::NoGeneration(number))
    }

    /// Number of the generation in effect.
    ///
    /// # Errors
    /// When `current` is not a link to a generation.
    pub fn current(&self) -> Result<Option<u64>> {
        self.pointer("current")
    }

    /// Number of the generation that was in effect before the current one.
    ///
    /// # Errors
    /// When `previous` is not a link to a generation.
    pub fn previous(&self) -> Result<Option<u64>> {
        self.pointer("previous")
    }

    fn pointer(&self, name: &str) -> Result<Option<u64>> {
        let path = self.state_dir.join(name);
        let target = match std::fs::read_link(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            target => target.on("read the link", &path)?,
        };
        let number =
            target.strip_prefix("generations").ok().and_then(Path::to_str).and_then(number_of);
        let problem = format!("it points to {}, not to a generation", target.display());
        number.map(Some).ok_or(AgentError::Damaged { path, problem })
    }

    /// Number the next generation gets: larger than any that ever was.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn next(&self) -> Result<u64> {
        let path = self.state_dir.join("next");
        let recorded = match std::fs::read_to_string(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => 1,
            text => {
                let text = text.on("read", &path)?;
                let problem = format!("'{}' is no number", text.trim());
                number_of(text.trim()).ok_or(AgentError::Damaged { path, problem })?
            }
        };
        Ok(self.list()?.last().map_or(recorded, |g| recorded.max(g.number + 1)))
    }

    /// Makes generation `number` of `set`, durably; once more is fine.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn add(&self, number: u64, set: &Path) -> Result<()> {
        durable::create_dir_all(&self.directory(), 0o755)?;
        if self.read(number)?.is_some_and(|(there, _)| there == set) {
            return Ok(());
        }
        // The number is spent first: it is not given out again even if this generation goes.
        durable::write(
            &self.state_dir.join("next"),
            format!("{}\n", number + 1).as_bytes(),
            0o644,
        )?;
        Ok(durable::symlink(set, &self.link(number))?)
    }

    /// Takes generation `number` away; one that is not there is fine.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove(&self, number: u64) -> Result<()> {
        Ok(durable::remove_file(&self.link(number))?)
    }

    /// Switches `current`, in one step and durably.
    ///
    /// # Errors
    /// When the disk refuses; the old one then stays in effect.
    pub fn switch(&self, to: Option<u64>) -> Result<()> {
        self.point("current", to)
    }

    /// Records where a plain rollback goes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn set_previous(&self, to: Option<u64>) -> Result<()> {
        self.point("previous", to)
    }

    fn point(&self, name: &str, to: Option<u64>) -> Result<()> {
        if self.pointer(name).is_ok_and(|now| now == to) {
            return Ok(());
        }
        let path = self.state_dir.join(name);
        let switched = match to {
            Some(n) => durable::symlink(&Path::new("generations").join(n.to_string()), &path),
            None => durable::remove_file(&path),
        };
        Ok(switched?)
    }

    /// Those that go when the current and the previous one stay, the newest `keep` besides them,
    /// and what was made after `since` (Unix milliseconds).
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn to_prune(&self, keep: usize, since: u64) -> Result<Vec<Generation>> {
        let journalled = crate::journal::read(&self.state_dir)?;
        let mut all = self.list()?;
        all.retain(|g| !g.current && !g.previous);
        all.truncate(all.len().saturating_sub(keep));
        all.retain(|g| g.created <= since);
        // An activation is under way: neither link points yet to what its journal names.
        all.retain(|g| {
            journalled.as_ref().is_none_or(|j| j.new != g.number && j.old != Some(g.number))
        });
        Ok(all)
    }

    /// Takes away [`Self::to_prune`]; says which.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn prune(&self, keep: usize, since: u64) -> Result<Vec<Generation>> {
        let gone = self.to_prune(keep, since)?;
        for generation in &gone {
            self.remove(generation.number)?;
        }
        Ok(gone)
    }

    /// The link that keeps a generation's machine set.
    #[must_use]
    pub fn root(&self, number: u64) -> PathBuf {
        self.link(number)
    }
}

/// Plain decimal, as written: no sign, no leading zero.
fn number_of(text: &str) -> Option<u64> {
    text.parse().ok().filter(|n: &u64| n.to_string() == text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;

    fn numbers(all: &[Generation]) -> Vec<u64> {
        all.iter().map(|g| g.number).collect()
    }

    #[test]
    fn numbers_are_never_used_twice() {
        let dir = tempfile::tempdir().unwrap();
        let generations = Generations::new(dir.path().join("state"));
        assert_eq!((generations.next().unwrap(), generations.current().unwrap()), (1, None));
        assert!(generations.list().unwrap().is_empty());
        for number in 1..=3 {
            generations.add(number, Path::new("/nix/store/x")).unwrap();
            generations.add(number, Path::new("/nix/store/x")).unwrap();
        }
        generations.remove(3).unwrap();
        generations.remove(3).unwrap();
        assert_eq!(generations.next().unwrap(), 4);
        std::fs::remove_file(dir.path().join("state/next")).unwrap();
        assert_eq!(generations.next().unwrap(), 3);
    }

    #[test]
    fn pruning_keeps_the_newest_the_current_and_the_previous() {
        let dir = tempfile::tempdir().unwrap();
        let generations = Generations::new(dir.path());
        for number in 1..=9 {
            generations.add(number, Path::new("/nix/store/x")).unwrap();
        }
        generations.switch(Some(2)).unwrap();
        generations.set_previous(Some(4)).unwrap();
        assert_eq!(numbers(&generations.prune(3, u64::MAX).unwrap()), [1, 3, 5, 6]);
        assert_eq!(numbers(&generations.list().unwrap()), [2, 4, 7, 8, 9]);
        assert_eq!(numbers(&generations.prune(0, u64::MAX).unwrap()), [7, 8, 9]);
        let left = generations.list().unwrap();
        assert!(left[0].current && left[1].previous);
        assert!(generations.to_prune(0, 0).unwrap().is_empty(), "all are younger than 1970");
        for number in 5..=9 {
            generations.add(number, Path::new("/nix/store/x")).unwrap();
        }
        generations.switch(Some(9)).unwrap();
        generations.set_previous(Some(8)).unwrap();
        assert_eq!(numbers(&generations.prune(1, u64::MAX).unwrap()), [2, 4, 5, 6]);
        assert_eq!(numbers(&generations.list().unwrap()), [7, 8, 9], "one besides these two");
    }

    #[test]
    fn a_link_to_elsewhere_is_damage_and_is_replaced_by_a_switch() {
        let dir = tempfile::tempdir().unwrap();
        let generations = Generations::new(dir.path());
        generations.add(1, Path::new("/nix/store/x")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("current")).unwrap();
        let message = generations.current().unwrap_err().to_string();
        assert!(message.contains("points to /etc"), "{message}");
        generations.switch(Some(1)).unwrap();
        assert_eq!(generations.current().unwrap(), Some(1));
        generations.switch(None).unwrap();
        assert_eq!(generations.current().unwrap(), None);
    }
}
