//! A signed release file: what the archive's lists must be.

use super::sha256_hex;
use crate::deb::control::paragraphs;
use crate::error::{Context, Error, Result};
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// How a release's signature is checked.
#[derive(Clone, Debug)]
pub enum Signature {
    /// By `gpgv`, against keys that are trusted.
    Keys {
        /// The program.
        gpgv: PathBuf,
        /// Its key files; one good signature by any of them is needed.
        keyrings: Vec<PathBuf>,
    },
    /// Not at all: whoever answers for the mirror decides what runs.
    Insecure,
}

impl Signature {
    /// `gpgv` with the keys of Debian's package `debian-archive-keyring`.
    #[must_use]
    pub fn debian() -> Self {
        Self::Keys {
            gpgv: "gpgv".into(),
            keyrings: vec!["/usr/share/keyrings/debian-archive-keyring.gpg".into()],
        }
    }

    /// The text that is signed in `message`.
    ///
    /// # Errors
    /// When it is not signed by a trusted key.
    pub fn verify(&self, message: &[u8], url: &str) -> Result<String> {
        let wrong = |why: String| Error::Archive { url: url.into(), why };
        let text = match self {
            Self::Insecure => strip_signature(message).to_vec(),
            Self::Keys { gpgv, keyrings } => {
                if let Some(missing) = keyrings.iter().find(|k| !k.is_file()) {
                    return Err(wrong(format!(
                        "its signature cannot be checked: {} is missing; install the package \
                         debian-archive-keyring",
                        missing.display()
                    )));
                }
                let mut command = Command::new(gpgv);
                for keyring in keyrings {
                    command.arg("--keyring").arg(keyring);
                }
                command.args(["--output", "-", "-"]);
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                let mut child = command.spawn().on("run (install the package gpgv)", gpgv)?;
                let mut stdin = child.stdin.take();
                let done = std::thread::scope(|scope| {
                    scope.spawn(move || {
                        // A checker that stops reading says why by its exit status.
                        let _ = stdin.as_mut().map(|pipe| pipe.write_all(message));
                    });
                    child.wait_with_output()
                })
                .on("wait for", gpgv)?;
                if !done.status.success() {
                    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
                    return Err(wrong(format!("its signature is not good: {said}")));
                }
                // Only what was signed counts, not what stands around it.
                done.stdout
            }
        };
        String::from_utf8(text).map_err(|_| wrong("it is not text".into()))
    }
}

fn strip_signature(message: &[u8]) -> &[u8] {
    let find = |needle: &[u8]| message.windows(needle.len()).position(|w| w == needle);
    let start = match find(b"-----BEGIN PGP SIGNED MESSAGE-----") {
        Some(at) => find(b"\n\n").filter(|end| *end > at).map_or(0, |end| end + 2),
        None => 0,
    };
    let end = find(b"\n-----BEGIN PGP SIGNATURE-----").map_or(message.len(), |at| at + 1);
    &message[start..end.max(start)]
}

/// What a release says.
#[derive(Clone, Debug)]
pub struct Release {
    /// When it was made, in seconds since 1970.
    pub date: i64,
    files: HashMap<String, (String, u64)>,
}

impl Release {
    /// Reads the signed text; `url` is for errors.
    ///
    /// # Errors
    /// When it has no date or no list of hashes.
    pub fn parse(text: &str, url: &str) -> Result<Self> {
        let wrong = |why: &str| Error::Archive { url: url.into(), why: why.into() };
        let head = paragraphs(text).next().ok_or_else(|| wrong("it is empty"))?;
        let date = head.get("Date").and_then(parse_date).ok_or_else(|| wrong("it has no date"))?;
        let list = head.get("SHA256").ok_or_else(|| wrong("it has no SHA256 list"))?;
        let files = list
            .lines()
            .filter_map(|line| {
                let mut parts = line.split_ascii_whitespace();
                let (hash, size, name) = (parts.next()?, parts.next()?, parts.next()?);
                Some((name.to_owned(), (hash.to_ascii_lowercase(), size.parse().ok()?)))
            })
            .collect();
        Ok(Self { date, files })
    }

    /// The SHA-256 and the size of one of its files.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<(&str, u64)> {
        self.files.get(name).map(|(hash, size)| (hash.as_str(), *size))
    }

    /// A time at which the snapshot archive has this release: it takes a few hours to see one,
    /// and shows for any time what it saw last before.
    #[must_use]
    pub fn snapshot_stamp(&self) -> String {
        let at = self.date + 24 * 3600;
        let (year, month, day) = civil(at.div_euclid(86400));
        let second = at.rem_euclid(86400);
        let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
        format!("{year:04}{month:02}{day:02}T{h:02}{m:02}{s:02}Z")
    }
}

/// That a file is what the release says.
pub(super) fn check_sha256(bytes: &[u8], sha256: &str, size: u64, url: &str) -> Result<()> {
    let wrong = |why| Err(Error::Archive { url: url.into(), why });
    if bytes.len() as u64 != size {
        return wrong(format!("it has {} bytes, the release says {size}", bytes.len()));
    }
    let got = sha256_hex(bytes);
    if got == sha256 {
        return Ok(());
    }
    wrong(format!("its SHA-256 is {got}, the release says {sha256}; try again in some minutes"))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Sat, 12 Sep 2026 07:55:41 UTC`.
fn parse_date(text: &str) -> Option<i64> {
    let parts: Vec<&str> = text.split_ascii_whitespace().collect();
    let [_, day, month, year, time, "UTC" | "GMT" | "+0000"] = parts.as_slice() else {
        return None;
    };
    let clock: Vec<i64> = time.split(':').map_while(|p| p.parse().ok()).collect();
    let [h, m, s] = clock.as_slice() else { return None };
    let month = MONTHS.iter().position(|name| name == month)? as i64 + 1;
    let (day, year): (i64, i64) = (day.parse().ok()?, year.parse().ok()?);
    let fits = (1..=31).contains(&day) && (1970..=9999).contains(&year);
    let fits = fits && (0..24).contains(h) && (0..60).contains(m) && (0..=60).contains(s);
    fits.then(|| days(year, month, day) * 86400 + h * 3600 + m * 60 + s)
}

/// Days since 1970-01-01, counting years from March so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468
}

/// The year, month and day of a day since 1970-01-01.
fn civil(day: i64) -> (i64, i64, i64) {
    let mut year = 1970 + day.div_euclid(366);
    while days(year + 1, 1, 1) <= day {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days(year, month + 1, 1) <= day {
        month += 1;
    }
    (year, month, day - days(year, month, 1) + 1)
}

#[cfg(test)]
mod dates {
    use super::*;

    #[test]
    fn there_and_back() {
        assert_eq!(parse_date("Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
        assert_eq!(parse_date("Sat, 12 Sep 2026 07:55:41 UTC"), Some(1_789_199_741));
        assert_eq!(parse_date("Thu, 29 Feb 2024 12:00:00 UTC"), Some(1_709_208_000));
        assert_eq!(parse_date("Sat, 12 Sep 2026"), None);
        let stamp = |date| Release { date, files: HashMap::new() }.snapshot_stamp();
        assert_eq!(stamp(1_789_199_741), "20260913T075541Z");
        assert_eq!(stamp(1_709_208_000 - 86400 + 3600 * 12), "20240301T000000Z");
        assert_eq!(stamp(1_735_689_599 - 86400), "20241231T235959Z");
        for day in (0..40_000).step_by(13) {
            let (y, m, d) = civil(day);
            assert_eq!(days(y, m, d), day);
        }
    }
}
