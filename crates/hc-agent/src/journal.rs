//! What an activation is about to do, on disk before it does it.

use crate::error::{AgentError, Context, Result};
use hc_fs::durable;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// An activation under way. While the file is there, it is neither done nor undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// Generation that was in effect.
    pub old: Option<u64>,
    /// Generation to put in effect.
    pub new: u64,
    /// Machine set of `new`: its link may not exist yet.
    pub set: PathBuf,
    /// Whether `new` was made by this activation, and goes if it fails.
    pub made: bool,
    /// Where a plain rollback went before.
    pub previous: Option<u64>,
    /// Which way it was going.
    pub step: Direction,
    /// Unix milliseconds after which it goes back.
    pub deadline: u64,
    /// Boot in which it began.
    pub boot_id: String,
}

/// Which way an activation goes. Written when it turns round; the steps in between need no
/// record, since each can be repeated and each can be undone before it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards the new generation.
    Forward,
    /// Back to the old one: something failed.
    Back,
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("journal")
}

/// The activation that was under way, if one was.
///
/// # Errors
/// When the file cannot be read or is not a journal.
pub fn read(state_dir: &Path) -> Result<Option<Journal>> {
    let path = path(state_dir);
    let text = match std::fs::read(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.on("read", &path)?,
    };
    let journal = serde_json::from_slice(&text);
    journal.map(Some).map_err(|e| AgentError::Damaged { path, problem: e.to_string() })
}

/// Writes it down, durably.
///
/// # Errors
/// When the disk refuses.
pub fn write(state_dir: &Path, journal: &Journal) -> Result<()> {
    durable::create_dir_all(state_dir, 0o755)?;
    let mut text = serde_json::to_vec(journal)
        .map_err(|e| AgentError::Damaged { path: path(state_dir), problem: e.to_string() })?;
    text.push(b'\n');
    Ok(durable::write(&path(state_dir), &text, 0o644)?)
}

/// It is done, or undone.
///
/// # Errors
/// When the disk refuses.
pub fn clear(state_dir: &Path) -> Result<()> {
    Ok(durable::remove_file(&path(state_dir))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_as_text() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal {
            old: Some(6),
            new: 7,
            set: "/nix/store/x-machine-set".into(),
            made: true,
            previous: None,
            step: Direction::Forward,
            deadline: 1_700_000_000_000,
            boot_id: "b".into(),
        };
        assert_eq!(read(dir.path()).unwrap(), None);
        write(dir.path(), &journal).unwrap();
        insta::assert_snapshot!(std::fs::read_to_string(path(dir.path())).unwrap().trim(), @r#"{"old":6,"new":7,"set":"/nix/store/x-machine-set","made":true,"previous":null,"step":"forward","deadline":1700000000000,"bootId":"b"}"#);
        assert_eq!(read(dir.path()).unwrap(), Some(journal));
        clear(dir.path()).unwrap();
        clear(dir.path()).unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
    }
}
