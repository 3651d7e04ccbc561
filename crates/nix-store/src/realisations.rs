//! Which paths outputs came to, for derivations that do not say so beforehand: in the tables that
//! C++ Nix has for content-addressed derivations.

use crate::db::Database;
use crate::error::Result;
use crate::layout::Layout;
use crate::store::Store;
use nix_compat::StorePath;
use rusqlite::{OptionalExtension, params};

/// The oldest version of these tables that C++ Nix still uses, in a file of their own beside the
/// store's schema: newer releases bring it up to date, older ones refuse what is newer.
const SCHEMA_VERSION: &str = "3";

const SCHEMA: &str = "
create table if not exists Realisations (
    id         integer primary key autoincrement not null,
    drvPath    text not null,
    outputName text not null, -- symbolic output id, usually \"out\"
    outputPath integer not null,
    signatures text, -- space-separated list
    foreign key (outputPath) references ValidPaths(id) on delete cascade
);
create index if not exists IndexRealisations on Realisations(drvPath, outputName);
create table if not exists RealisationsRefs (
    referrer             integer not null,
    realisationReference integer,
    foreign key (referrer) references Realisations(id) on delete cascade,
    foreign key (realisationReference) references Realisations(id) on delete restrict
);
create index if not exists IndexRealisationsRefs on RealisationsRefs(referrer);
create index if not exists IndexRealisationsRefsOnOutputPath on Realisations(outputPath);
";

/// The key of a derivation in these tables.
pub(crate) fn key(hash: [u8; 32]) -> String {
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

fn schema_file(layout: &Layout) -> std::path::PathBuf {
    layout.state.join("db/ca-schema")
}

impl Store {
    /// What an output is known to be; it is valid and is kept.
    pub(crate) fn realisation(&self, key: &str, output: &str) -> Result<Option<StorePath>> {
        if !schema_file(self.layout()).exists() {
            return Ok(None);
        }
        let found = self.database().realisation(key, output)?;
        match found {
            Some(path) if self.is_valid(&path)? => Ok(Some(path)),
            _ => Ok(None),
        }
    }

    /// Remembers what outputs came to.
    pub(crate) fn register_realisations(&self, rows: &[(String, String, StorePath)]) -> Result<()> {
        let file = schema_file(self.layout());
        let make = !file.exists();
        self.database().register_realisations(rows, make)?;
        if make {
            hc_fs::durable::write(&file, SCHEMA_VERSION.as_bytes(), 0o644)?;
        }
        Ok(())
    }
}

impl Database {
    fn realisation(&self, key: &str, output: &str) -> Result<Option<StorePath>> {
        let get = || -> rusqlite::Result<Option<String>> {
            self.connection()
                .prepare_cached(
                    "select path from Realisations join ValidPaths v on outputPath = v.id
                     where drvPath = ? and outputName = ?",
                )?
                .query_row([key, output], |row| row.get(0))
                .optional()
        };
        let found = get().map_err(|source| self.error(source))?;
        Ok(found.and_then(|path| path.parse().ok()))
    }

    fn register_realisations(
        &mut self,
        rows: &[(String, String, StorePath)],
        make: bool,
    ) -> Result<()> {
        let connection = self.connection();
        let put = || -> rusqlite::Result<()> {
            let transaction = connection.unchecked_transaction()?;
            if make {
                transaction.execute_batch(SCHEMA)?;
            }
            for (key, output, path) in rows {
                transaction.execute(
                    "delete from Realisations where drvPath = ? and outputName = ?",
                    params![key, output],
                )?;
                transaction.execute(
                    "insert into Realisations (drvPath, outputName, outputPath, signatures)
                     values (?, ?, (select id from ValidPaths where path = ?), '')",
                    params![key, output, path.to_string()],
                )?;
            }
            transaction.commit()
        };
        put().map_err(|source| self.error(source))
    }
}
