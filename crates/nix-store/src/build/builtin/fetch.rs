//! `builtin:fetchurl`: downloads.

use super::{BuildEvent, BuildObserver, Builtin, options};
use crate::config::StoreConfig;
use crate::error::{Context, Error, Result};
use crate::http::{Failure, agent, classify};
use crate::layout::chmod;
use hc_fs::plain;
use nix_compat::StorePath;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a download is made with; one for all of a build, so that connections are used again.
pub(in crate::build) struct Downloader {
    agent: std::result::Result<ureq::Agent, String>,
}

impl Downloader {
    pub fn new(config: &StoreConfig) -> Self {
        Self { agent: agent(config) }
    }

    /// Downloads what the derivation asks for to `to`; the caller checks what came.
    pub fn run(&self, job: &Builtin<'_>, to: &Path) -> Result<()> {
        let config = job.store.config();
        let url = job.attribute("url")?;
        let mut addresses: Vec<String> = config
            .mirrors
            .iter()
            .filter_map(|(prefix, with)| {
                url.strip_prefix(prefix).map(|rest| format!("{with}{rest}"))
            })
            .collect();
        addresses.push(url.clone());
        // Where else it can be had, once the first address has moved on.
        let others = options::text(job.derivation, "urls").unwrap_or_default();
        addresses
            .extend(others.split_whitespace().filter(|other| *other != url).map(str::to_owned));
        let unpack = options::flag(job.derivation, "unpack");
        let came = if unpack { to.with_added_extension("nar") } else { to.to_path_buf() };
        let mut reasons = Vec::new();
        for address in &addresses {
            match self.try_address(config, job.path, address, &came, job.observer, job.cancelled) {
                Ok(()) if unpack => return restore(job, &url, &came, to),
                Ok(()) => {
                    let executable = options::flag(job.derivation, "executable");
                    return chmod(to, if executable { 0o755 } else { 0o644 });
                }
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::Passing(reason) | Failure::Lasting(reason)) => {
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
        let agent = self.agent.as_ref().map_err(Clone::clone)?;
        let mut response = agent.get(url).call().map_err(|error| match classify(error) {
            Failure::Passing(reason) | Failure::Lasting(reason) => reason,
            Failure::Fatal(error) => error.to_string(),
        })?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("the server answered {status}"));
        }
        let mut body = response.body_mut().with_config().limit(limit).reader();
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        Ok(bytes)
    }

    fn try_address(
        &self,
        config: &StoreConfig,
        drv: &StorePath,
        url: &str,
        to: &Path,
        observer: &dyn BuildObserver,
        cancelled: &dyn Fn() -> bool,
    ) -> std::result::Result<(), Failure> {
        let mut pause = Duration::from_millis(250);
        let mut tries = 0;
        loop {
            let mut meter = Meter { drv, observer, cancelled, done: 0, total: None, told: None };
            let outcome = self.try_once(url, to, &mut meter);
            tries += 1;
            match outcome {
                Err(Failure::Passing(_)) if tries < config.fetch_tries => {}
                other => return other,
            }
            let until = Instant::now() + pause;
            while Instant::now() < until {
                if cancelled() {
                    return Err(Failure::Fatal(Error::Cancelled));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            pause *= 2;
        }
    }

    fn try_once(
        &self,
        url: &str,
        to: &Path,
        meter: &mut Meter<'_>,
    ) -> std::result::Result<(), Failure> {
        plain::remove_file(to).map_err(|e| Failure::Fatal(e.into()))?;
        if let Some(file) = url.strip_prefix("file://") {
            let file = PathBuf::from(file);
            let lasting = |e: std::io::Error| Failure::Lasting(e.to_string());
            let mut source = File::open(&file).map_err(lasting)?;
            meter.total = source.metadata().ok().map(|m| m.len());
            return copy(&mut source, to, meter);
        }
        let agent = self.agent.as_ref().map_err(|reason| Failure::Lasting(reason.clone()))?;
        let mut response = agent.get(url).call().map_err(classify)?;
        let status = response.status();
        if !status.is_success() {
            let reason = format!("the server answered {status}");
            let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
            return Err(if passing { Failure::Passing(reason) } else { Failure::Lasting(reason) });
        }
        meter.total = response.body().content_length();
        let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
        copy(&mut body, to, meter)?;
        match meter.total {
            Some(total) if total != meter.done => {
                Err(Failure::Passing(format!("{} of {total} bytes came", meter.done)))
            }
            _ => Ok(()),
        }
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

struct Meter<'a> {
    drv: &'a StorePath,
    observer: &'a dyn BuildObserver,
    cancelled: &'a dyn Fn() -> bool,
    done: u64,
    total: Option<u64>,
    told: Option<Instant>,
}

impl Meter<'_> {
    fn add(&mut self, bytes: usize) -> std::result::Result<(), Failure> {
        self.done += bytes as u64;
        if self.told.is_none_or(|at| at.elapsed() > Duration::from_millis(100)) {
            self.told = Some(Instant::now());
            let (drv, done, total) = (self.drv, self.done, self.total);
            self.observer.event(BuildEvent::Progress { drv, done, total });
            if (self.cancelled)() {
                return Err(Failure::Fatal(Error::Cancelled));
            }
        }
        Ok(())
    }
}

fn copy(from: &mut dyn Read, to: &Path, meter: &mut Meter<'_>) -> std::result::Result<(), Failure> {
    let fatal = |e: Error| Failure::Fatal(e);
    let mut file = plain::create_new(to, 0o644).map_err(|e| fatal(e.into()))?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                file.write_all(&buffer[..n]).on("write", to).map_err(fatal)?;
                meter.add(n)?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Failure::Passing(e.to_string())),
        }
    }
}
