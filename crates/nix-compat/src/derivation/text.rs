//! The pieces that the text of a derivation is made of.

use crate::{StoreDir, StorePath};

/// A store path as it is written.
pub(super) fn rendered(store: &StoreDir, path: &StorePath) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";
    let (dir, name, digest) = (store.as_str(), path.name(), path.digest());
    let mut text = String::with_capacity(dir.len() + name.len() + 34);
    text.push_str(dir);
    text.push('/');
    // Five bits a digit, the last ones first.
    for at in (0..32).rev() {
        let (byte, bit) = (at * 5 / 8, at * 5 % 8);
        let above = digest.get(byte + 1).copied().unwrap_or(0);
        let bits = u16::from_le_bytes([digest[byte], above]) >> bit;
        text.push(char::from(DIGITS[usize::from(bits & 31)]));
    }
    text.push('-');
    text.push_str(name);
    text
}

/// A derivation's text while it is written.
pub(super) struct Text(pub(super) Vec<u8>);

impl Text {
    pub(super) fn raw(&mut self, text: &[u8]) {
        self.0.extend_from_slice(text);
    }

    /// A string in which nothing is escaped.
    pub(super) fn plain(&mut self, text: &[u8]) {
        self.0.push(b'"');
        self.0.extend_from_slice(text);
        self.0.push(b'"');
    }

    pub(super) fn quoted(&mut self, text: &[u8]) {
        self.0.push(b'"');
        let mut rest = text;
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t');
        while let Some(at) = rest.iter().position(special) {
            self.0.extend_from_slice(&rest[..at]);
            self.0.extend_from_slice(match rest[at] {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                _ => b"\\t",
            });
            rest = &rest[at + 1..];
        }
        self.0.extend_from_slice(rest);
        self.0.push(b'"');
    }

    /// Strings in which nothing is escaped, in parentheses.
    pub(super) fn fields<const N: usize>(&mut self, fields: [&[u8]; N]) {
        for (index, field) in fields.into_iter().enumerate() {
            self.raw(if index == 0 { b"(" } else { b"," });
            self.plain(field);
        }
        self.raw(b")");
    }

    pub(super) fn hex(&mut self, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in bytes {
            self.0.push(DIGITS[usize::from(byte >> 4)]);
            self.0.push(DIGITS[usize::from(byte & 15)]);
        }
    }

    pub(super) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.0.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            write(self, item);
        }
        self.0.push(b']');
    }
}
