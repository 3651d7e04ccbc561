//! Which paths outputs came to, for derivations that do not say so beforehand: in the tables that
//! C++ Nix has for content-addressed derivations.

use crate::db::Database;
use crate::error::Result;
use crate::layout::Layout;
use crate::store::Store;
use nix_compat::StorePath;
use nix_compat::narinfo::{NixSignature, SecretKey, TrustedPublicKey};
use rusqlite::{OptionalExtension, params};
use serde_json::{Value, json};

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

/// What an output came to, as stores tell each other: the `.doi` files of binary caches, in the
/// form that C++ Nix has from 2.4 to 2.34.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realisation {
    /// The key of the derivation (`sha256:…`).
    pub derivation: String,
    /// The name of the output.
    pub output: String,
    /// What it came to.
    pub path: StorePath,
    /// Signatures (`NAME:BASE64`) of [`Realisation::fingerprint`].
    pub signatures: Vec<String>,
    /// What the outputs of its inputs came to, as it was told.
    dependent: Value,
}

impl Realisation {
    fn new(derivation: &str, output: &str, path: StorePath, signatures: Vec<String>) -> Self {
        let (derivation, output) = (derivation.into(), output.into());
        Self { derivation, output, path, signatures, dependent: json!({}) }
    }

    /// The name of its file below a cache.
    #[must_use]
    pub fn file(derivation: &str, output: &str) -> String {
        format!("realisations/{derivation}!{output}.doi")
    }

    fn without_signatures(&self) -> Value {
        let id = format!("{}!{}", self.derivation, self.output);
        // In the order of the names, which is that of C++ Nix.
        json!({
            "dependentRealisations": self.dependent,
            "id": id,
            "outPath": self.path.to_basename(),
        })
    }

    /// What is signed.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.without_signatures().to_string()
    }

    /// The file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut value = self.without_signatures();
        value["signatures"] = json!(self.signatures);
        value.to_string()
    }

    /// Reads a file; nothing when it is none.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(text).ok()?;
        let (derivation, output) = value.get("id")?.as_str()?.split_once('!')?;
        let path = StorePath::from_basename(value.get("outPath")?.as_str()?.as_bytes()).ok()?;
        let signatures = value.get("signatures").and_then(Value::as_array);
        let signatures = signatures.into_iter().flatten().filter_map(Value::as_str);
        let mut made = Self::new(derivation, output, path, signatures.map(str::to_owned).collect());
        if let Some(dependent) = value.get("dependentRealisations").filter(|v| v.is_object()) {
            made.dependent = dependent.clone();
        }
        Some(made)
    }

    /// Adds a signature by a key.
    pub fn sign(&mut self, key: &SecretKey) {
        self.signatures.push(key.sign(&self.fingerprint()));
        self.signatures.sort();
        self.signatures.dedup();
    }

    /// Whether one of the keys has signed it.
    #[must_use]
    pub fn is_signed(&self, keys: &[TrustedPublicKey]) -> bool {
        let fingerprint = self.fingerprint();
        self.signatures.iter().any(|signature| {
            NixSignature::parse(signature)
                .is_ok_and(|s| s.verify(fingerprint.as_bytes(), keys).unwrap_or(false))
        })
    }
}

/// The key of a derivation in these tables.
pub(crate) fn key(hash: [u8; 32]) -> String {
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

fn schema_file(layout: &Layout) -> std::path::PathBuf {
    layout.state.join("db/ca-schema")
}

/// What a build came to.
pub(crate) fn made(derivation: &str, output: &str, path: &StorePath) -> Realisation {
    Realisation::new(derivation, output, path.clone(), Vec::new())
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

    /// Which outputs came to a path.
    pub(crate) fn realisations_of(&self, path: &StorePath) -> Result<Vec<Realisation>> {
        if !schema_file(self.layout()).exists() {
            return Ok(Vec::new());
        }
        self.database().realisations_of(path)
    }

    /// Remembers what outputs came to; their paths are valid.
    pub(crate) fn register_realisations(&self, rows: &[Realisation]) -> Result<()> {
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

    fn realisations_of(&self, path: &StorePath) -> Result<Vec<Realisation>> {
        let get = || -> rusqlite::Result<Vec<Realisation>> {
            self.connection()
                .prepare_cached(
                    "select drvPath, outputName, signatures from Realisations
                     where outputPath = (select id from ValidPaths where path = ?)
                     order by drvPath, outputName",
                )?
                .query_map([path.to_string()], |row| {
                    let (derivation, output) = (row.get::<_, String>(0)?, row.get::<_, String>(1)?);
                    let signatures = row.get::<_, Option<String>>(2)?.unwrap_or_default();
                    let signatures = signatures.split_ascii_whitespace().map(str::to_owned);
                    let signatures = signatures.collect();
                    Ok(Realisation::new(&derivation, &output, path.clone(), signatures))
                })?
                .collect()
        };
        get().map_err(|source| self.error(source))
    }

    fn register_realisations(&mut self, rows: &[Realisation], make: bool) -> Result<()> {
        let connection = self.connection();
        let put = || -> rusqlite::Result<()> {
            let transaction = connection.unchecked_transaction()?;
            if make {
                transaction.execute_batch(SCHEMA)?;
            }
            for row in rows {
                transaction.execute(
                    "delete from Realisations where drvPath = ? and outputName = ?",
                    params![row.derivation, row.output],
                )?;
                transaction.execute(
                    "insert into Realisations (drvPath, outputName, outputPath, signatures)
                     values (?, ?, (select id from ValidPaths where path = ?), ?)",
                    params![
                        row.derivation,
                        row.output,
                        row.path.to_string(),
                        row.signatures.join(" ")
                    ],
                )?;
            }
            transaction.commit()
        };
        put().map_err(|source| self.error(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_nix_writes_and_signs() {
        let text = br#"{"dependentRealisations":{},"id":"sha256:7283!out","outPath":"jg3iyw19sm3aqibd9m0bpimiz60gk2nl-ca","signatures":[]}"#;
        let mut made = Realisation::parse(text).unwrap();
        assert_eq!(made.to_json().as_bytes(), text);
        assert_eq!(
            Realisation::file(&made.derivation, &made.output),
            "realisations/sha256:7283!out.doi"
        );
        let key = SecretKey::from_seed("a-1", &[3; 32]).unwrap();
        let keys = [TrustedPublicKey::parse(&key.public()).unwrap()];
        assert!(!made.is_signed(&keys));
        made.sign(&key);
        assert!(Realisation::parse(made.to_json().as_bytes()).unwrap().is_signed(&keys));
        made.output = "dev".into();
        assert!(!made.is_signed(&keys));
        assert!(Realisation::parse(b"{}").is_none());
    }
}
