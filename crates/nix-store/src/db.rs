//! The database of valid paths, with the schema of C++ Nix.

use crate::error::{Error, Result};
use crate::info::PathInfo;
use nix_compat::{CAHash, Derivation, NixHash, StorePath};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

const SCHEMA: &str = "
create table if not exists ValidPaths (
    id               integer primary key autoincrement not null,
    path             text unique not null,
    hash             text not null, -- base16 representation
    registrationTime integer not null,
    deriver          text,
    narSize          integer,
    ultimate         integer, -- null implies \"false\"
    sigs             text, -- space-separated
    ca               text -- if not null, an assertion that the path is content-addressed
);
create table if not exists Refs (
    referrer  integer not null,
    reference integer not null,
    primary key (referrer, reference),
    foreign key (referrer) references ValidPaths(id) on delete cascade,
    foreign key (reference) references ValidPaths(id) on delete restrict
);
create index if not exists IndexReferrer on Refs(referrer);
create index if not exists IndexReference on Refs(reference);
create trigger if not exists DeleteSelfRefs before delete on ValidPaths
  begin
    delete from Refs where referrer = old.id and reference = old.id;
  end;
create table if not exists DerivationOutputs (
    drv  integer not null,
    id   text not null, -- symbolic output id, usually \"out\"
    path text not null,
    primary key (drv, id),
    foreign key (drv) references ValidPaths(id) on delete cascade
);
create index if not exists IndexDerivationOutputs on DerivationOutputs(path);
";

pub(crate) struct Database {
    connection: Connection,
    path: PathBuf,
}

/// A path to register, with its derivation where it is one.
pub(crate) struct Registration<'a> {
    pub info: &'a PathInfo,
    pub derivation: Option<&'a Derivation>,
}

impl Database {
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |source| Error::Database { path: path.into(), source };
        let connection = Connection::open(path).map_err(fail)?;
        // SQLite turns to reading when it may not write, and says so only much later.
        if connection.is_readonly(rusqlite::MAIN_DB).map_err(fail)? {
            let why = "it can be opened for reading only: no permission, a read-only file system, too many open files, or no space left";
            return Err(crate::error::io("write", path, std::io::Error::other(why)));
        }
        // Another process may be writing: it is waited for.
        connection.busy_timeout(Duration::from_secs(3600)).map_err(fail)?;
        connection
            .execute_batch(
                "pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = 1;
                 pragma wal_autocheckpoint = 40000;",
            )
            .map_err(fail)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self { connection, path: path.into() })
    }

    pub fn create(&self) -> Result<()> {
        self.connection.execute_batch(SCHEMA).map_err(|e| self.error(e))
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub fn error(&self, source: rusqlite::Error) -> Error {
        if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
            return Error::NoSpace { action: "write", path: self.path.clone() };
        }
        Error::Database { path: self.path.clone(), source }
    }

    pub fn is_valid(&self, path: &StorePath) -> Result<bool> {
        Ok(self.id(path).map_err(|e| self.error(e))?.is_some())
    }

    fn id(&self, path: &StorePath) -> rusqlite::Result<Option<i64>> {
        self.connection
            .prepare_cached("select id from ValidPaths where path = ?")?
            .query_row([path.to_string()], |row| row.get(0))
            .optional()
    }

    /// Registers paths that are complete on disk, all or none.
    pub fn register(&mut self, paths: &[Registration<'_>]) -> Result<()> {
        let path = self.path.clone();
        let missing = self.try_register(paths).map_err(|source| match source {
            source if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => {
                Error::NoSpace { action: "write", path }
            }
            source => Error::Database { path, source },
        })?;
        missing.map_or(Ok(()), |path| Err(Error::NotValid { path }))
    }

    /// Gives a reference that is not there, in place of registering anything: a collector of C++
    /// Nix 2.8 may delete what it was told to keep, if it had looked at it already.
    fn try_register(&mut self, paths: &[Registration<'_>]) -> rusqlite::Result<Option<StorePath>> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for Registration { info, derivation } in paths {
            let id = upsert(&transaction, info)?;
            if let Some(derivation) = derivation {
                insert_outputs(&transaction, id, derivation)?;
            }
        }
        // After all rows are there: they may refer to each other.
        for Registration { info, .. } in paths {
            let mut insert = transaction.prepare_cached(
                "insert or replace into Refs (referrer, reference)
                 select (select id from ValidPaths where path = ?1), id
                 from ValidPaths where path = ?2",
            )?;
            for reference in &info.references {
                if insert.execute([info.path.to_string(), reference.to_string()])? == 0 {
                    return Ok(Some(reference.clone()));
                }
            }
        }
        transaction.commit()?;
        Ok(None)
    }

    pub fn info(&self, path: &StorePath) -> Result<Option<PathInfo>> {
        self.try_info(path).map_err(|e| self.error(e))
    }

    fn try_info(&self, path: &StorePath) -> rusqlite::Result<Option<PathInfo>> {
        let row = self
            .connection
            .prepare_cached(
                "select id, hash, registrationTime, deriver, narSize, ultimate, sigs, ca
                 from ValidPaths where path = ?",
            )?
            .query_row([path.to_string()], |row| {
                let hash: String = row.get(1)?;
                let deriver: Option<String> = row.get(3)?;
                let signatures: Option<String> = row.get(6)?;
                let ca: Option<String> = row.get(7)?;
                let info = PathInfo {
                    path: path.clone(),
                    nar_hash: NixHash::parse(&hash).map_err(malformed(1))?,
                    nar_size: u64::try_from(row.get::<_, Option<i64>>(4)?.unwrap_or(0))
                        .map_err(malformed(4))?,
                    references: BTreeSet::new(),
                    deriver: deriver.as_deref().and_then(|path| path.parse().ok()),
                    registered: UNIX_EPOCH
                        + Duration::from_secs(row.get::<_, i64>(2)?.try_into().unwrap_or(0)),
                    ultimate: row.get::<_, Option<i64>>(5)? == Some(1),
                    signatures: signatures
                        .map(|s| s.split_ascii_whitespace().map(str::to_owned).collect())
                        .unwrap_or_default(),
                    ca: ca
                        .filter(|ca| !ca.is_empty())
                        .map(|ca| CAHash::parse(&ca))
                        .transpose()
                        .map_err(malformed(7))?,
                };
                Ok((row.get::<_, i64>(0)?, info))
            })
            .optional()?;
        let Some((id, mut info)) = row else { return Ok(None) };
        info.references = self.column(
            "select path from Refs join ValidPaths on reference = id where referrer = ?",
            id,
        )?;
        Ok(Some(info))
    }

    pub fn references(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        let get = || -> rusqlite::Result<_> {
            let Some(id) = self.id(path)? else { return Ok(None) };
            let sql = "select path from Refs join ValidPaths on reference = id where referrer = ?";
            Ok(Some(self.column(sql, id)?))
        };
        get().map_err(|e| self.error(e))?.ok_or_else(|| Error::NotValid { path: path.clone() })
    }

    pub fn referrers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        let get = || -> rusqlite::Result<_> {
            let Some(id) = self.id(path)? else { return Ok(None) };
            let sql = "select path from Refs join ValidPaths on referrer = id where reference = ?";
            Ok(Some(self.column(sql, id)?))
        };
        get().map_err(|e| self.error(e))?.ok_or_else(|| Error::NotValid { path: path.clone() })
    }

    /// The valid derivations that have this path as an output.
    pub fn derivers(&self, path: &StorePath) -> Result<BTreeSet<StorePath>> {
        self.column(
            "select v.path from DerivationOutputs d join ValidPaths v on d.drv = v.id
             where d.path = ?",
            path.to_string(),
        )
        .map_err(|e| self.error(e))
    }

    pub fn valid_paths(&self) -> Result<BTreeSet<StorePath>> {
        self.column("select path from ValidPaths where ? = 0", 0).map_err(|e| self.error(e))
    }

    pub fn path_from_hash_part(&self, hash_part: &str) -> Result<Option<StorePath>> {
        let prefix = format!("{}/{hash_part}", nix_compat::STORE_DIR);
        let find = || -> rusqlite::Result<Option<String>> {
            self.connection
                .prepare_cached("select path from ValidPaths where path >= ? limit 1")?
                .query_row([&prefix], |row| row.get(0))
                .optional()
        };
        let found = find().map_err(|error| self.error(error))?;
        let path = found.and_then(|path| path.parse::<StorePath>().ok());
        Ok(path.filter(|path| nix_compat::path::hash_part(path) == hash_part))
    }

    fn column(
        &self,
        sql: &str,
        parameter: impl rusqlite::ToSql,
    ) -> rusqlite::Result<BTreeSet<StorePath>> {
        self.connection
            .prepare_cached(sql)?
            .query_map([parameter], |row| {
                row.get::<_, String>(0)?.parse::<StorePath>().map_err(malformed(0))
            })?
            .collect()
    }

    /// Forgets paths, the ones that refer to others first, and says which: one that a path refers
    /// to that stays (somebody registered it just now) stays too.
    pub fn forget(&mut self, paths: &[StorePath]) -> Result<Vec<StorePath>> {
        let mut forget = || -> rusqlite::Result<Vec<StorePath>> {
            let transaction =
                self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut forgotten = Vec::with_capacity(paths.len());
            for path in paths {
                let mut delete = transaction.prepare_cached(
                    "delete from ValidPaths where path = ? and not exists
                     (select 1 from Refs where reference = ValidPaths.id
                      and referrer <> ValidPaths.id)",
                )?;
                if delete.execute([path.to_string()])? > 0 {
                    forgotten.push(path.clone());
                }
            }
            transaction.commit()?;
            Ok(forgotten)
        };
        forget().map_err(|e| self.error(e))
    }

    /// The paths of a derivation's outputs, as they were registered with it.
    pub fn outputs(&self, drv: &StorePath) -> Result<BTreeSet<StorePath>> {
        self.column(
            "select d.path from DerivationOutputs d join ValidPaths v on d.drv = v.id
             where v.path = ?",
            drv.to_string(),
        )
        .map_err(|e| self.error(e))
    }
}

fn malformed<E: std::error::Error + Send + Sync + 'static>(
    column: usize,
) -> impl FnOnce(E) -> rusqlite::Error {
    move |error| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
    }
}

fn upsert(transaction: &Transaction<'_>, info: &PathInfo) -> rusqlite::Result<i64> {
    let registered = info.registered.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let signatures = info.signatures.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    transaction
        .prepare_cached(
            "insert into ValidPaths
                 (path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             on conflict (path) do update set hash = ?2, deriver = coalesce(?4, deriver),
                 narSize = ?5, ultimate = ?6, sigs = ?7, ca = ?8
             returning id",
        )?
        .query_row(
            params![
                info.path.to_string(),
                info.nar_hash.to_nix_base16_string(),
                registered.cast_signed(),
                info.deriver.as_ref().map(ToString::to_string),
                info.nar_size.cast_signed(),
                info.ultimate.then_some(1),
                (!signatures.is_empty()).then_some(signatures),
                info.ca.as_ref().map(CAHash::to_nix_string),
            ],
            |row| row.get(0),
        )
}

fn insert_outputs(
    transaction: &Transaction<'_>,
    id: i64,
    derivation: &Derivation,
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "insert or replace into DerivationOutputs (drv, id, path) values (?, ?, ?)",
    )?;
    for (name, output) in derivation.resolved_outputs().map_err(malformed(0))? {
        if let Some(path) = output.path {
            insert.execute(params![id, name, path.to_string()])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_registered_that_refers_to_what_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = Database::open(&dir.path().join("db.sqlite")).unwrap();
        database.create().unwrap();
        let path = |name: &str| -> StorePath {
            format!("/nix/store/miacmq2d49l5qm1xgkpr982m3rd9ax08-{name}").parse().unwrap()
        };
        let info = |name: &str, references: &[&str]| PathInfo {
            path: path(name),
            nar_hash: nix_compat::hash_bytes(nix_compat::HashAlgorithm::Sha256, b""),
            nar_size: 1,
            references: references.iter().map(|name| path(name)).collect(),
            deriver: None,
            registered: UNIX_EPOCH,
            ultimate: false,
            signatures: Vec::new(),
            ca: None,
        };
        let (whole, refers) = (info("whole", &["whole"]), info("refers", &["whole", "zzz"]));
        let all = [&whole, &refers].map(|info| Registration { info, derivation: None });
        match database.register(&all) {
            Err(Error::NotValid { path: missing }) => assert_eq!(missing, path("zzz")),
            other => panic!("{other:?}"),
        }
        assert!(database.valid_paths().unwrap().is_empty());
        database.register(&all[..1]).unwrap();
        assert_eq!(database.references(&whole.path).unwrap(), whole.references);
    }
}
