//! What servers said about paths, kept on disk for a while, so that the next command does not ask
//! again. A file of our own: the name and the tables of C++ Nix's change with its releases.

use hc_fs::plain;
use nix_compat::StorePath;
use nix_compat::path::hash_part;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The name changes with the tables.
const FILE: &str = "binary-caches-v1.sqlite";
const SCHEMA: &str = "
create table if not exists Answers (
    cache text not null,    -- address
    name  text not null,    -- file below it
    time  integer not null, -- seconds since 1970
    text  blob,             -- null: it is not there
    primary key (cache, name)
) without rowid;
";
/// How long it is known that there is a cache, and what it says of itself (as C++ Nix has it).
const CACHE_TTL: Duration = Duration::from_hours(7 * 24);
/// Older answers are deleted when the file is opened, whatever the settings are.
const OLDEST: Duration = Duration::from_hours(60 * 24);

/// The answers of one cache.
pub struct Answers {
    database: Mutex<Connection>,
    cache: String,
    positive: Duration,
    negative: Duration,
}

impl Answers {
    /// In a directory, which is made. Without it everything works, and asks more often: whatever is
    /// wrong with it is no error.
    pub fn open(
        directory: &Path,
        cache: &str,
        positive: Duration,
        negative: Duration,
    ) -> Option<Self> {
        plain::create_dir_all(directory, 0o755).ok()?;
        let file = directory.join(FILE);
        let connection = connect(&file).or_else(|_| {
            // It is damaged: everything in it can be asked again.
            let _ = plain::remove_file(&file);
            connect(&file)
        });
        let database = Mutex::new(connection.ok()?);
        Some(Self { database, cache: cache.into(), positive, negative })
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a file has, or that it is not there; nothing when that is not known.
    pub fn get(&self, name: &str) -> Option<Option<Vec<u8>>> {
        let database = self.database();
        let mut select = database
            .prepare_cached("select time, text from Answers where cache = ? and name = ?")
            .ok()?;
        let (time, text) = select
            .query_row(params![self.cache, name], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Option<Vec<u8>>>(1)?))
            })
            .optional()
            .ok()??;
        let limit = match (&text, name) {
            (_, super::INFO) => CACHE_TTL,
            (Some(_), _) => self.positive,
            (None, _) => self.negative,
        };
        let age = now().checked_sub(time)?;
        (u64::try_from(age).ok()? < limit.as_secs()).then_some(text)
    }

    /// Remembers what a file has, or that it is not there.
    pub fn put(&self, name: &str, text: Option<&[u8]>) {
        let database = self.database();
        let insert =
            database.prepare_cached("insert or replace into Answers values (?1, ?2, ?3, ?4)");
        if let Ok(mut insert) = insert {
            let _ = insert.execute(params![self.cache, name, now(), text]);
        }
    }

    /// Forgets a path: what was known about it is no longer so.
    pub fn forget(&self, path: &StorePath) {
        let name = format!("{}.narinfo", hash_part(path));
        let _ = self
            .database()
            .execute("delete from Answers where cache = ? and name = ?", params![self.cache, name]);
    }
}

fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    // What a power cut takes is asked again.
    connection.execute_batch("pragma journal_mode = wal; pragma synchronous = off;")?;
    connection.execute_batch(SCHEMA)?;
    let oldest = now().saturating_sub(OLDEST.as_secs().cast_signed());
    connection.execute("delete from Answers where time < ?", [oldest])?;
    Ok(connection)
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().cast_signed()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;

    #[test]
    fn answers_hold_for_a_while_and_damage_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let (hour, none) = (Duration::from_hours(1), Duration::ZERO);
        let open =
            |cache: &str, negative| Answers::open(dir.path(), cache, hour, negative).unwrap();
        let one = open("one", hour);
        one.put("a.narinfo", Some(b"text"));
        one.put("b.narinfo", None);
        assert_eq!(one.get("a.narinfo"), Some(Some(b"text".to_vec())));
        assert_eq!(one.get("b.narinfo"), Some(None));
        assert_eq!(one.get("c.narinfo"), None);
        assert_eq!(open("two", hour).get("a.narinfo"), None);
        assert_eq!(open("one", none).get("b.narinfo"), None, "too old");
        drop(one);
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            std::fs::write(entry.unwrap().path(), "rubbish").unwrap();
        }
        let one = open("one", hour);
        assert_eq!(one.get("a.narinfo"), None);
        one.put("a.narinfo", Some(b"again"));
        assert!(one.get("a.narinfo").is_some());
    }
}
