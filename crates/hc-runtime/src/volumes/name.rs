//! What volumes and snapshots are called.

use hc_spec::Name;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// `MACHINE/VOLUME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VolumeName {
    /// The machine it is or was of.
    pub machine: Name,
    /// Its name in the machine's description.
    pub volume: Name,
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.machine, self.volume)
    }
}

impl FromStr for VolumeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (machine, volume) = text.split_once('/').ok_or("write MACHINE/VOLUME")?;
        let name = |text: &str| Name::new(text).map_err(|error| error.to_string());
        Ok(Self { machine: name(machine)?, volume: name(volume)? })
    }
}

/// Whether a snapshot can have this name.
pub(crate) fn is_snapshot(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

/// A name for a snapshot in that directory: this one, or with a number after it when it is taken.
pub(crate) fn unused(snapshots: &Path, name: &str) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find(|name| !snapshots.join(name).exists()).unwrap_or_default()
}

/// `20261128T093005Z` of a time in seconds since 1970: sorts as time goes.
#[must_use]
pub fn stamp(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    // Days to a civil date: eras of 400 years that begin in March (Howard Hinnant's algorithm).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_two_labels() {
        let name: VolumeName = "web/data".parse().unwrap();
        assert_eq!(name.to_string(), "web/data");
        for wrong in ["web", "web/", "/data", "web/../x", "web/a/b", "WEB/x"] {
            assert!(wrong.parse::<VolumeName>().is_err(), "{wrong}");
        }
        for (name, expected) in
            [("before-upgrade", true), ("v1.2_x", true), ("", false), (".x", false), ("a/b", false)]
        {
            assert_eq!(is_snapshot(name), expected, "{name}");
        }
    }

    #[test]
    fn stamps_are_dates() {
        for (unix, expected) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_795_860_000, "20261128T100000Z"),
            (4_102_444_800, "21000101T000000Z"),
        ] {
            assert_eq!(stamp(unix), expected);
        }
    }
}
