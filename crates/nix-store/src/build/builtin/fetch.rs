//! `builtin:fetchurl`: downloads.

use super::{BuildEvent, Builtin, options};
use crate::config::StoreConfig;
use crate::error::{Context, Error, Result};
use crate::http::{Body, Client, Failure, Request};
use crate::layout::chmod;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::{Duration, Instant};

/// What a download is made with; one for all of a build, so that connections are used again.
pub(in crate::build) struct Downloader {
    client: Client,
}

impl Downloader {
    pub fn new(config: &StoreConfig) -> Self {
        Self { client: Client::new(config) }
    }

    /// Downloads what the derivation asks for to `to`; the caller checks what came.
    pub fn run(&self, job: &Builtin<'_>, to: &Path) -> Result<()> {
        let url = job.attribute("url")?;
        let mut addresses = self.client.addresses(&url);
        // Where else it can be had, once the first address has moved on.
        let others = options::text(job.derivation, "urls").unwrap_or_default();
        addresses
            .extend(others.split_whitespace().filter(|other| *other != url).map(str::to_owned));
        let unpack = options::flag(job.derivation, "unpack");
        let came = if unpack { to.with_added_extension("nar") } else { to.to_path_buf() };
        let mut reasons = Vec::new();
        for address in &addresses {
            match self.try_address(job, address, &came) {
                Ok(()) if unpack => return restore(job, &url, &came, to),
                Ok(()) => {
                    let executable = options::flag(job.derivation, "executable");
                    return chmod(to, if executable { 0o755 } else { 0o644 });
                }
                Err(Failure::Fatal(error)) => return Err(error),
                Err(reason) => {
                    let of =
                        if addresses.len() > 1 { format!("{address}: ") } else { String::new() };
                    reasons.push(format!("{of}{reason}"));
                }
            }
        }
        Err(Error::Fetch { drv: job.path.clone(), url, reason: reasons.join("; ") })
    }

    /// What is at `url`, at most `limit` bytes of it.
    pub fn bytes(&self, url: &str, limit: u64) -> std::result::Result<Vec<u8>, String> {
        self.client.bytes(url, limit).map_err(|failure| failure.to_string())
    }

    fn try_address(
        &self,
        job: &Builtin<'_>,
        url: &str,
        to: &Path,
    ) -> std::result::Result<(), Failure> {
        let mut told: Option<Instant> = None;
        let body = Body::open(&self.client, Request { url, ..Request::default() }, job.cancelled)?;
        self.client.save(body, to, &mut |done, total| {
            if told.is_none_or(|at| at.elapsed() > Duration::from_millis(100)) {
                told = Some(Instant::now());
                job.observer.event(BuildEvent::Progress { drv: job.path, done, total });
            }
        })?;
        Ok(())
    }
}

/// What came is an archive, compressed where its address says so.
fn restore(job: &Builtin<'_>, url: &str, from: &Path, to: &Path) -> Result<()> {
    let file = BufReader::new(File::open(from).on("open", from)?);
    let mut plain: Box<dyn Read> = if url.ends_with(".xz") {
        Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(file))
    } else {
        Box::new(file)
    };
    nix_compat::nar::restore(&mut plain, to).map_err(|error| Error::Fetch {
        drv: job.path.clone(),
        url: url.into(),
        reason: format!("what came is no archive of files: {error}"),
    })?;
    hc_fs::plain::remove_file(from)?;
    if options::flag(job.derivation, "executable") {
        chmod(to, 0o755)?;
    }
    Ok(())
}
