//! Sets of bytes and bracket expressions.

use crate::Error;

/// A set of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Set([u64; 4]);

impl Set {
    pub(crate) fn empty() -> Self {
        Self([0; 4])
    }

    pub(crate) fn byte(c: u8) -> Self {
        let mut set = Self::empty();
        set.insert(c);
        set
    }

    /// What `.` matches: everything but the null byte.
    pub(crate) fn any() -> Self {
        Self([!1, !0, !0, !0])
    }

    pub(crate) fn insert(&mut self, c: u8) {
        self.0[usize::from(c >> 6)] |= 1 << (c & 63);
    }

    pub(crate) fn contains(&self, c: u8) -> bool {
        self.0[usize::from(c >> 6)] >> (c & 63) & 1 != 0
    }

    pub(crate) fn union(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(other.0) {
            *a |= b;
        }
    }

    fn inverted(self) -> Self {
        Self(self.0.map(|word| !word))
    }
}

enum Item {
    Byte(u8),
    Dash,
    Set(Set),
    End,
}

struct Reader<'p> {
    text: &'p [u8],
    at: usize,
    first: bool,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<Item, Error> {
        let c = *self.text.get(self.at).ok_or(Error::BadBracket)?;
        let first = std::mem::replace(&mut self.first, false);
        self.at += 1;
        match c {
            b'-' => Ok(Item::Dash),
            b']' if !first => Ok(Item::End),
            b'[' => match self.text.get(self.at) {
                None => Err(Error::BadBracket),
                Some(kind @ (b':' | b'.' | b'=')) => self.named(*kind),
                Some(_) => Ok(Item::Byte(c)),
            },
            _ => Ok(Item::Byte(c)),
        }
    }

    /// `[:name:]`, `[.name.]`, `[=name=]`, from the second character on.
    fn named(&mut self, kind: u8) -> Result<Item, Error> {
        let missing = if kind == b':' { Error::BadClass } else { Error::BadCollation };
        let start = self.at + 1;
        let len = self.text[start..].windows(2).position(|w| w == [kind, b']']).ok_or(missing)?;
        let name = &self.text[start..start + len];
        self.at = start + len + 2;
        match kind {
            b':' => class(name).map(Item::Set),
            b'.' => collating(name).map(Item::Byte),
            _ => collating(name).map(|c| Item::Set(Set::byte(c))),
        }
    }
}

fn class(name: &[u8]) -> Result<Set, Error> {
    let test: fn(&u8) -> bool = match name.to_ascii_lowercase().as_slice() {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |c| matches!(c, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"d" | b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |c| matches!(c, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"s" | b"space" => |c| matches!(c, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"w" => |c| c.is_ascii_alphanumeric() || *c == b'_',
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return Err(Error::BadClass),
    };
    let mut set = Set::empty();
    (0..=255).filter(test).for_each(|c| set.insert(c));
    Ok(set)
}

/// Names of the characters that have one in the POSIX locale. Punctuation is known by name only; letters stand for themselves.
fn collating(name: &[u8]) -> Result<u8, Error> {
    const NAMES: &[(&[u8], u8)] = &[
        (b"alert", 7),
        (b"backspace", 8),
        (b"tab", 9),
        (b"newline", 10),
        (b"vertical-tab", 11),
        (b"form-feed", 12),
        (b"carriage-return", 13),
        (b"space", b' '),
        (b"exclamation-mark", b'!'),
        (b"quotation-mark", b'"'),
        (b"number-sign", b'#'),
        (b"dollar-sign", b'$'),
        (b"percent-sign", b'%'),
        (b"ampersand", b'&'),
        (b"apostrophe", b'\''),
        (b"left-parenthesis", b'('),
        (b"right-parenthesis", b')'),
        (b"asterisk", b'*'),
        (b"plus-sign", b'+'),
        (b"comma", b','),
        (b"hyphen", b'-'),
        (b"period", b'.'),
        (b"slash", b'/'),
        (b"zero", b'0'),
        (b"one", b'1'),
        (b"two", b'2'),
        (b"three", b'3'),
        (b"four", b'4'),
        (b"five", b'5'),
        (b"six", b'6'),
        (b"seven", b'7'),
        (b"eight", b'8'),
        (b"nine", b'9'),
        (b"colon", b':'),
        (b"semicolon", b';'),
        (b"less-than-sign", b'<'),
        (b"equals-sign", b'='),
        (b"greater-than-sign", b'>'),
        (b"question-mark", b'?'),
        (b"commercial-at", b'@'),
        (b"left-square-bracket", b'['),
        (b"backslash", b'\\'),
        (b"right-square-bracket", b']'),
        (b"circumflex", b'^'),
        (b"underscore", b'_'),
        (b"grave-accent", b'`'),
        (b"left-curly-bracket", b'{'),
        (b"vertical-line", b'|'),
        (b"right-curly-bracket", b'}'),
        (b"tilde", b'~'),
    ];
    match name {
        [c] if c.is_ascii_alphabetic() => Ok(*c),
        _ => NAMES.iter().find(|(n, _)| *n == name).map(|(_, c)| *c).ok_or(Error::BadCollation),
    }
}

/// The set of a bracket expression, from behind its `[`, and the offset after its `]`.
pub(crate) fn parse(text: &[u8], at: usize) -> Result<(Set, usize), Error> {
    let negated = text.get(at) == Some(&b'^');
    let mut reader = Reader { text, at: at + usize::from(negated), first: true };
    let mut set = Set::empty();
    // The last single character, which a dash may turn into the start of a range.
    let mut last: Option<u8> = None;
    let mut first = true;
    loop {
        let item = reader.next()?;
        let leading = std::mem::replace(&mut first, false);
        match item {
            Item::End => break,
            Item::Byte(c) => last = keep(&mut set, last, c),
            Item::Dash if leading => last = Some(b'-'),
            Item::Set(other) => {
                if let Some(c) = last.take() {
                    set.insert(c);
                }
                set.union(&other);
            }
            Item::Dash => match (last, reader.next()?) {
                (None, Item::End) => {
                    set.insert(b'-');
                    break;
                }
                (Some(start), Item::Byte(end)) => {
                    range(&mut set, start, end)?;
                    last = None;
                }
                (Some(start), Item::Dash) => {
                    range(&mut set, start, b'-')?;
                    last = None;
                }
                (Some(start), Item::End) => {
                    set.insert(start);
                    set.insert(b'-');
                    last = None;
                    break;
                }
                _ => return Err(Error::BadRange),
            },
        }
    }
    if let Some(c) = last {
        set.insert(c);
    }
    Ok((if negated { set.inverted() } else { set }, reader.at))
}

fn keep(set: &mut Set, last: Option<u8>, c: u8) -> Option<u8> {
    if let Some(last) = last {
        set.insert(last);
    }
    Some(c)
}

/// Characters are signed in C++ on this platform: bytes from 0x80 on come before all others.
fn range(set: &mut Set, start: u8, end: u8) -> Result<(), Error> {
    if start as i8 > end as i8 {
        return Err(Error::BadRange);
    }
    (start as i8..=end as i8).for_each(|c| set.insert(c as u8));
    Ok(())
}
