//! The records of a PAX extended header (POSIX.1-2017, pax, "pax Extended Header").

use std::collections::BTreeMap;

/// The records of one header, by keyword: the last of several holds. Keys that come again with
/// another meaning each time (`GNU.sparse.offset` and its `numbytes`) are kept in order beside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    all: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Pairs of offset and length of the sparse format 0.0.
    pub(super) pairs: Vec<(u64, u64)>,
}

impl Records {
    /// Reads the records.
    ///
    /// # Errors
    /// A sentence on the record that is malformed.
    pub fn parse(mut text: &[u8]) -> Result<Self, String> {
        let mut records = Self::default();
        let mut offset = None;
        while !text.is_empty() {
            // Some writers fill the block up.
            if text.iter().all(|b| *b == 0) {
                break;
            }
            let space = text.iter().take(20).position(|b| *b == b' ').ok_or(MALFORMED)?;
            let len = decimal(&text[..space]).and_then(|n| usize::try_from(n).ok());
            let len = len.filter(|len| *len > space + 1 && *len <= text.len()).ok_or(MALFORMED)?;
            let (record, rest) = text.split_at(len);
            text = rest;
            let [body @ .., b'\n'] = &record[space + 1..] else { return Err(MALFORMED.into()) };
            let equals = body.iter().position(|b| *b == b'=').ok_or(MALFORMED)?;
            let (key, value) = (&body[..equals], &body[equals + 1..]);
            match key {
                b"" => return Err(MALFORMED.into()),
                b"GNU.sparse.offset" => offset = Some(decimal(value).ok_or(MALFORMED)?),
                b"GNU.sparse.numbytes" => {
                    let at = offset.take().ok_or(MALFORMED)?;
                    records.pairs.push((at, decimal(value).ok_or(MALFORMED)?));
                }
                // An empty value takes back what an earlier header said.
                _ if value.is_empty() && !key.contains(&b'.') => {
                    records.all.remove(key);
                }
                _ => {
                    records.all.insert(key.to_vec(), value.to_vec());
                }
            }
        }
        Ok(records)
    }

    /// The value of a keyword.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.all.get(key.as_bytes()).map(Vec::as_slice)
    }

    /// A number; `None` without one.
    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, String> {
        self.get(key)
            .map(|value| {
                decimal(value).ok_or_else(|| {
                    format!("its `{key}` is `{}`, not a number", String::from_utf8_lossy(value))
                })
            })
            .transpose()
    }

    /// Keywords that begin with `prefix`, without it.
    pub(super) fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.all
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(prefix.as_bytes())?, &value[..])))
    }

    /// These, and what `global` says beside them.
    pub(super) fn over(mut self, global: &Self) -> Self {
        for (key, value) in &global.all {
            self.all.entry(key.clone()).or_insert_with(|| value.clone());
        }
        self
    }
}

const MALFORMED: &str = "its extended header is malformed";

/// Digits and nothing else.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// Seconds and nanoseconds of a decimal number such as `1.5` or `-1.25`.
pub(super) fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let seconds = decimal(whole.strip_prefix('-').unwrap_or(whole).as_bytes())?;
    let seconds = i64::try_from(seconds).ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    Some(match (negative, nanoseconds) {
        (false, _) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = key.len() + value.len() + 3;
        let mut len = rest + 1;
        while len != rest + len.to_string().len() {
            len = rest + len.to_string().len();
        }
        [len.to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(pairs in prop::collection::btree_map("[a-z]{1,9}\\.x", prop::collection::vec(any::<u8>(), 0..200), 0..6)) {
            let text: Vec<u8> = pairs.iter().flat_map(|(k, v)| record(k, v)).collect();
            let records = Records::parse(&text).unwrap();
            prop_assert_eq!(records.all.len(), pairs.len());
            for (key, value) in &pairs {
                prop_assert_eq!(records.get(key), Some(&value[..]));
            }
        }

        #[test]
        fn nonsense_does_not_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Records::parse(&text);
        }
    }

    #[test]
    fn sizes_that_lie_are_refused() {
        for text in [
            "99 path=x\n",
            "0 path=x\n",
            "3 p\n",
            "9 path=xy",
            "path=x\n",
            "4294967296 a=b\n",
            "18446744073709551617 a=b\n",
            "-9 path=x\n",
            "+9 path=x\n",
            "9 path:xy\n",
            "6 =ab\n",
        ] {
            assert!(Records::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(time(b"1.5"), Some((1, 500_000_000)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"7"), Some((7, 0)));
        assert_eq!(time(b"1.x"), None);
        assert_eq!(time(b""), None);
        assert_eq!(time(b"99999999999999999999"), None);
    }
}
