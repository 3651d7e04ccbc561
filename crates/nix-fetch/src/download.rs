//! Files from URLs, asked for again when they are old.

use crate::Fetcher;
use crate::error::{Result, words};
use nix_compat::NixHash;
use nix_store::http::Request;
use serde_json::{Map, Value as Json};
use std::path::PathBuf;

/// A file that was downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// Where it is.
    pub path: PathBuf,
    /// The SHA-256 of its bytes.
    pub hash: NixHash,
}

impl Fetcher {
    /// The file at a URL; what is not older than the cache keeps names is not asked for again.
    ///
    /// # Errors
    /// When it cannot be had, and was never had before.
    pub fn download(&self, url: &str, name: &str) -> Result<Download> {
        self.download_named(url, name, &[])
    }

    /// A file whose bytes have this hash, whatever it was downloaded from.
    #[must_use]
    pub fn downloaded(&self, hash: &NixHash) -> Option<PathBuf> {
        self.cache.file(hash)
    }

    pub(crate) fn download_named(
        &self,
        url: &str,
        name: &str,
        headers: &[(String, String)],
    ) -> Result<Download> {
        let key = format!("file {name} {url}");
        let _lock = self.cache.lock(&key)?;
        let record = self.cache.record(&key);
        let known = record.as_ref().and_then(|record| {
            let hash = record.hash("hash")?;
            Some(Download { path: self.cache.file(&hash)?, hash })
        });
        if let (Some(known), Some(false)) = (&known, record.as_ref().map(|record| record.expired)) {
            return Ok(known.clone());
        }
        let scratch = self.cache.scratch()?;
        let to = scratch.path().join("file");
        let etag = known.as_ref().and(record.as_ref()).and_then(|record| record.text("etag"));
        let answer = match (self.client.download(&Request { url, headers, etag }, &to), known) {
            (Ok(answer), Some(known)) if answer.unchanged => {
                self.record_file(&key, &answer.etag, &known.hash)?;
                return Ok(known);
            }
            (Ok(answer), _) => answer,
            (Err(reason), Some(known)) => {
                self.warn(&format!("{reason}; using cached version"));
                return Ok(known);
            }
            (Err(reason), None) => return Err(words(reason)),
        };
        let (path, hash) = self.cache.keep_file(&to)?;
        self.record_file(&key, &answer.etag, &hash)?;
        Ok(Download { path, hash })
    }

    fn record_file(&self, key: &str, etag: &str, hash: &NixHash) -> Result<()> {
        let mut facts = Map::new();
        facts.insert("etag".into(), Json::from(etag));
        facts.insert("hash".into(), Json::from(hash.to_sri_string()));
        self.cache.set_record(key, facts)
    }
}
