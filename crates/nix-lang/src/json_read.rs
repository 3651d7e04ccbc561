//! JSON text to values: no limit of depth, and the complaints of the library that C++ Nix uses.

use crate::Evaluator;
use crate::error::{Error, Result};
use crate::source::{Place, Pos};
use crate::value::{Attr, Value};

#[derive(Clone, Copy, PartialEq)]
enum Token {
    True,
    False,
    Null,
    /// The text is in [`Reader::text`].
    Text,
    Number(Number),
    ArrayOpen,
    ObjectOpen,
    ArrayClose,
    ObjectClose,
    Colon,
    Comma,
    End,
    /// What is wrong with it.
    Wrong(&'static str),
}

/// A number as it was written.
#[derive(Clone, Copy, PartialEq)]
enum Number {
    Int(i64),
    TooLarge(u64),
    Float(f64),
}

impl Token {
    fn name(self) -> &'static str {
        match self {
            Token::True => "true literal",
            Token::False => "false literal",
            Token::Null => "null literal",
            Token::Text => "string literal",
            Token::Number(_) => "number literal",
            Token::ArrayOpen => "'['",
            Token::ObjectOpen => "'{'",
            Token::ArrayClose => "']'",
            Token::ObjectClose => "'}'",
            Token::Colon => "':'",
            Token::Comma => "','",
            Token::End => "end of input",
            Token::Wrong(_) => "<parse error>",
        }
    }
}

/// What may come instead of a value that is none.
const ANY: &str = "'[', '{', or a literal";

struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
    /// Lines before, and bytes of this line, as far as they were looked at.
    line: usize,
    column: usize,
    /// Where the token begins.
    start: usize,
    /// Where the last string or number begins: from there messages show what was read.
    shown: usize,
    text: Vec<u8>,
}

impl<'t> Reader<'t> {
    /// The next byte, or none at the end: which counts as one that was looked at.
    fn get(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += 1;
        self.column += 1;
        if byte == Some(b'\n') {
            self.line += 1;
            self.column = 0;
        }
        byte
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn token(&mut self) -> Token {
        if self.at == 0 && self.bytes.starts_with(b"\xef\xbb\xbf") {
            self.at = 3;
            self.column = 3;
        }
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.get();
        }
        self.start = self.at;
        match self.get() {
            None => Token::End,
            Some(b'[') => Token::ArrayOpen,
            Some(b']') => Token::ArrayClose,
            Some(b'{') => Token::ObjectOpen,
            Some(b'}') => Token::ObjectClose,
            Some(b':') => Token::Colon,
            Some(b',') => Token::Comma,
            Some(b't') => self.literal(b"rue", Token::True),
            Some(b'f') => self.literal(b"alse", Token::False),
            Some(b'n') => self.literal(b"ull", Token::Null),
            Some(b'"') => {
                self.shown = self.start;
                self.string()
            }
            Some(first @ (b'-' | b'0'..=b'9')) => {
                self.shown = self.start;
                self.number(first)
            }
            Some(_) => Token::Wrong("invalid literal"),
        }
    }

    fn literal(&mut self, rest: &[u8], token: Token) -> Token {
        for byte in rest {
            if self.get() != Some(*byte) {
                return Token::Wrong("invalid literal");
            }
        }
        token
    }

    fn digits(&mut self) -> usize {
        let mut count = 0;
        while let Some(b'0'..=b'9') = self.peek() {
            self.get();
            count += 1;
        }
        count
    }

    fn number(&mut self, first: u8) -> Token {
        let mut whole = true;
        let mut lead = first;
        if first == b'-' {
            match self.get() {
                Some(byte @ b'0'..=b'9') => lead = byte,
                _ => return Token::Wrong("invalid number; expected digit after '-'"),
            }
        }
        if lead != b'0' {
            self.digits();
        }
        if self.peek() == Some(b'.') {
            whole = false;
            self.get();
            if self.digits() == 0 {
                self.get();
                return Token::Wrong("invalid number; expected digit after '.'");
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            whole = false;
            self.get();
            let signed = matches!(self.peek(), Some(b'+' | b'-'));
            if signed {
                self.get();
            }
            if self.digits() == 0 {
                self.get();
                return Token::Wrong(if signed {
                    "invalid number; expected digit after exponent sign"
                } else {
                    "invalid number; expected '+', '-', or digit after exponent"
                });
            }
        }
        let text = str::from_utf8(&self.bytes[self.start..self.at]).unwrap_or_default();
        Token::Number(match (whole, text.parse(), text.parse()) {
            (true, Ok(number), _) => Number::Int(number),
            (true, _, Ok(number)) => Number::TooLarge(number),
            _ => Number::Float(text.parse().unwrap_or(f64::NAN)),
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let mut code = 0;
        for _ in 0..4 {
            code = code * 16 + (self.get()? as char).to_digit(16)?;
        }
        Some(code)
    }

    fn string(&mut self) -> Token {
        const HEX: &str = "invalid string: '\\u' must be followed by 4 hex digits";
        const HIGH: &str =
            "invalid string: surrogate U+D800..U+DBFF must be followed by U+DC00..U+DFFF";
        const LOW: &str = "invalid string: surrogate U+DC00..U+DFFF must follow U+D800..U+DBFF";
        self.text.clear();
        loop {
            let byte = match self.get() {
                None => return Token::Wrong("invalid string: missing closing quote"),
                Some(b'"') => return Token::Text,
                Some(b'\\') => match self.get() {
                    Some(byte @ (b'"' | b'\\' | b'/')) => byte,
                    Some(b'b') => 8,
                    Some(b'f') => 12,
                    Some(b'n') => b'\n',
                    Some(b'r') => b'\r',
                    Some(b't') => b'\t',
                    Some(b'u') => {
                        let Some(mut code) = self.hex() else { return Token::Wrong(HEX) };
                        if (0xD800..0xDC00).contains(&code) {
                            if self.get() != Some(b'\\') || self.get() != Some(b'u') {
                                return Token::Wrong(HIGH);
                            }
                            match self.hex() {
                                None => return Token::Wrong(HEX),
                                Some(low @ 0xDC00..0xE000) => {
                                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                                }
                                Some(_) => return Token::Wrong(HIGH),
                            }
                        }
                        let Some(char) = char::from_u32(code) else { return Token::Wrong(LOW) };
                        self.text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                        continue;
                    }
                    _ => {
                        return Token::Wrong("invalid string: forbidden character after backslash");
                    }
                },
                Some(byte @ 0..0x20) => return Token::Wrong(CONTROL[byte as usize]),
                Some(byte @ 0..0x80) => byte,
                Some(_) => {
                    let rest = &self.bytes[self.at - 1..];
                    let length = rest.len().min(4);
                    let good = match str::from_utf8(&rest[..length]) {
                        Ok(text) => text,
                        Err(error) => {
                            str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or_default()
                        }
                    };
                    let Some(char) = good.chars().next() else {
                        let seen = std::str::from_utf8(&rest[..length])
                            .err()
                            .and_then(|error| error.error_len())
                            .unwrap_or(length);
                        for _ in 0..seen {
                            self.get();
                        }
                        return Token::Wrong("invalid string: ill-formed UTF-8 byte");
                    };
                    for _ in 1..char.len_utf8() {
                        self.get();
                    }
                    self.text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                    continue;
                }
            };
            self.text.push(byte);
        }
    }

    fn place(&self) -> String {
        format!("parse error at line {}, column {}", self.line + 1, self.column)
    }

    fn unexpected(&self, token: Token, context: &str, expected: &str, pos: Pos) -> Error {
        let mut text = match token {
            Token::Wrong(why) => {
                let end = self.at.min(self.bytes.len());
                let mut read = String::new();
                for char in String::from_utf8_lossy(&self.bytes[self.shown..end]).chars() {
                    match char {
                        '\0'..' ' => read += &format!("<U+{:04X}>", u32::from(char)),
                        char => read.push(char),
                    }
                }
                format!("{why}; last read: '{read}'")
            }
            token => format!("unexpected {}", token.name()),
        };
        let broken_value = context == "value" && matches!(token, Token::Wrong(_));
        if !expected.is_empty() && !broken_value {
            text = format!("{text}; expected {expected}");
        }
        let place = self.place();
        let message = format!(
            "[json.exception.parse_error.101] {place}: syntax error while parsing {context} - {text}"
        );
        Error::eval(message, pos)
    }
}

macro_rules! control {
    ($($name:literal = $code:literal),* $(,)?) => {
        [$(concat!(
            "invalid string: control character U+", $code, " (", $name,
            ") must be escaped to \\u", $code
        )),*]
    };
}

static CONTROL: [&str; 32] = {
    let mut all = control! {
        "NUL" = "0000", "SOH" = "0001", "STX" = "0002", "ETX" = "0003", "EOT" = "0004",
        "ENQ" = "0005", "ACK" = "0006", "BEL" = "0007", "BS" = "0008", "HT" = "0009",
        "LF" = "000A", "VT" = "000B", "FF" = "000C", "CR" = "000D", "SO" = "000E",
        "SI" = "000F", "DLE" = "0010", "DC1" = "0011", "DC2" = "0012", "DC3" = "0013",
        "DC4" = "0014", "NAK" = "0015", "SYN" = "0016", "ETB" = "0017", "CAN" = "0018",
        "EM" = "0019", "SUB" = "001A", "ESC" = "001B", "FS" = "001C", "GS" = "001D",
        "RS" = "001E", "US" = "001F",
    };
    // Some have a shorter escape, which is named, too.
    all[8] = "invalid string: control character U+0008 (BS) must be escaped to \\u0008 or \\b";
    all[9] = "invalid string: control character U+0009 (HT) must be escaped to \\u0009 or \\t";
    all[10] = "invalid string: control character U+000A (LF) must be escaped to \\u000A or \\n";
    all[12] = "invalid string: control character U+000C (FF) must be escaped to \\u000C or \\f";
    all[13] = "invalid string: control character U+000D (CR) must be escaped to \\u000D or \\r";
    all
};

/// What is open around the value being read.
enum Open<'a> {
    Array(Vec<Value<'a>>),
    Object(Vec<Attr<'a>>, nix_syntax::Symbol),
}

/// The bytes as a string of the language, which has no null bytes.
pub(crate) fn no_null(bytes: &[u8], pos: Pos) -> Result<()> {
    if !bytes.contains(&0) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(bytes).replace('\0', "␀");
    let message = format!(
        "input string '{text}' cannot be represented as Nix string because it contains null bytes"
    );
    Err(Error::eval(message, pos))
}

impl<'a> Evaluator<'a> {
    /// The value that JSON text stands for.
    pub(crate) fn read_json(&self, text: &[u8], pos: Pos) -> Result<Value<'a>> {
        let mut reader =
            Reader { bytes: text, at: 0, line: 0, column: 0, start: 0, shown: 0, text: Vec::new() };
        let mut open: Vec<Open<'a>> = Vec::new();
        let mut token = reader.token();
        if token == Token::End && text.is_empty() {
            let place = reader.place();
            let message = format!(
                "[json.exception.parse_error.101] {place}: attempting to parse an empty input; check that your input string or stream contains the expected JSON"
            );
            return Err(Error::eval(message, pos));
        }
        loop {
            // A value begins here.
            let mut value = match token {
                Token::ObjectOpen => match reader.token() {
                    Token::ObjectClose => self.attrs_from(Vec::new()),
                    first => {
                        let name = self.json_key(&mut reader, first, pos)?;
                        open.push(Open::Object(Vec::new(), name));
                        token = reader.token();
                        continue;
                    }
                },
                Token::ArrayOpen => {
                    token = reader.token();
                    if token != Token::ArrayClose {
                        open.push(Open::Array(Vec::new()));
                        continue;
                    }
                    self.list_from(&[])
                }
                Token::True => Value::Bool(true),
                Token::False => Value::Bool(false),
                Token::Null => Value::Null,
                Token::Text => {
                    no_null(&reader.text, pos)?;
                    self.string(&reader.text)
                }
                Token::Number(number) => self.json_number(&reader, number, pos)?,
                other => return Err(reader.unexpected(other, "value", ANY, pos)),
            };
            // And ends here, with all that it closes.
            loop {
                match open.pop() {
                    None => {
                        return match reader.token() {
                            Token::End => Ok(value),
                            // Here what was expected is said of broken tokens, too.
                            broken @ Token::Wrong(_) => {
                                let error = reader.unexpected(broken, "value", "", pos);
                                let message = format!("{}; expected end of input", error.message());
                                Err(Error::eval(message, pos))
                            }
                            other => Err(reader.unexpected(other, "value", "end of input", pos)),
                        };
                    }
                    Some(Open::Array(mut items)) => {
                        items.push(value);
                        match reader.token() {
                            Token::Comma => {
                                open.push(Open::Array(items));
                                break;
                            }
                            Token::ArrayClose => value = self.list_from(&items),
                            other => return Err(reader.unexpected(other, "array", "']'", pos)),
                        }
                    }
                    Some(Open::Object(mut entries, name)) => {
                        entries.push(self.attr(name, Place::NONE, value));
                        match reader.token() {
                            Token::Comma => {
                                let next = reader.token();
                                let name = self.json_key(&mut reader, next, pos)?;
                                open.push(Open::Object(entries, name));
                                break;
                            }
                            Token::ObjectClose => value = self.attrs_from(entries),
                            other => return Err(reader.unexpected(other, "object", "'}'", pos)),
                        }
                    }
                }
            }
            token = reader.token();
        }
    }

    /// A key, which is `token`, and the colon behind it.
    fn json_key(
        &self,
        reader: &mut Reader<'_>,
        token: Token,
        pos: Pos,
    ) -> Result<nix_syntax::Symbol> {
        if token != Token::Text {
            return Err(reader.unexpected(token, "object key", "string literal", pos));
        }
        no_null(&reader.text, pos)?;
        let name = self.symbols.intern(&reader.text);
        match reader.token() {
            Token::Colon => Ok(name),
            other => Err(reader.unexpected(other, "object separator", "':'", pos)),
        }
    }

    fn json_number(&self, reader: &Reader<'_>, number: Number, pos: Pos) -> Result<Value<'a>> {
        match number {
            Number::Int(number) => Ok(Value::Int(number)),
            Number::Float(number) if number.is_finite() => Ok(Value::Float(number)),
            Number::Float(_) => {
                let text = String::from_utf8_lossy(&reader.bytes[reader.start..reader.at]);
                let message =
                    format!("[json.exception.out_of_range.406] number overflow parsing '{text}'");
                Err(Error::eval(message, pos))
            }
            Number::TooLarge(number) => {
                let message = format!("unsigned json number {number} outside of Nix integer range");
                Err(Error::eval(message, pos))
            }
        }
    }
}
