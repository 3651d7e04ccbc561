//! Tokens of plain code. Text inside strings and paths is read by the parser, which knows when it is there.

/// The kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tok {
    Eof,
    Id,
    Int,
    Float,
    /// First run of a path, see [`Lexer::path`].
    Path,
    HomePath,
    SearchPath,
    Uri,
    Quote,
    IndentQuote,
    DollarBrace,
    BraceOpen,
    BraceClose,
    ParenOpen,
    ParenClose,
    BracketOpen,
    BracketClose,
    Semicolon,
    Colon,
    Comma,
    Dot,
    Ellipsis,
    At,
    Question,
    Assign,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Implies,
    Update,
    Concat,
    Plus,
    Minus,
    Star,
    Slash,
    Not,
    PipeFrom,
    PipeInto,
    If,
    Then,
    Else,
    Assert,
    With,
    Let,
    In,
    Rec,
    Inherit,
    OrKeyword,
    /// `/*` without its end.
    OpenComment,
    /// A byte that starts no token.
    Stray,
}

/// A token and its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Tok,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// Reads tokens from `pos` on.
#[derive(Clone, Copy)]
pub(crate) struct Lexer<'s> {
    pub(crate) text: &'s [u8],
    pub(crate) pos: usize,
    /// No path and no URI starts before these places: `a.b.c…` is looked through once, not once per name.
    no_path: usize,
    no_uri: usize,
}

const ID: u8 = 1;
const PATH: u8 = 2;
const URI: u8 = 4;
const SCHEME: u8 = 8;

/// What each byte may be part of.
static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let c = i as u8;
        let mut class = 0;
        if c.is_ascii_alphanumeric() {
            class = ID | PATH | URI | SCHEME;
        }
        match c {
            b'_' => class = ID | PATH | URI,
            b'-' => class = ID | PATH | URI | SCHEME,
            b'\'' => class = ID | URI,
            b'.' | b'+' => class = PATH | URI | SCHEME,
            b'%' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'$' | b',' | b'!' | b'~' | b'*' => {
                class = URI
            }
            _ => {}
        }
        table[i] = class;
        i += 1;
    }
    table
};

fn is(c: u8, class: u8) -> bool {
    CLASS[c as usize] & class != 0
}

/// Whether a byte may stand in a path, slashes aside.
pub(crate) fn is_path_byte(c: u8) -> bool {
    is(c, PATH)
}

fn keyword(word: &[u8]) -> Tok {
    match word {
        b"if" => Tok::If,
        b"then" => Tok::Then,
        b"else" => Tok::Else,
        b"assert" => Tok::Assert,
        b"with" => Tok::With,
        b"let" => Tok::Let,
        b"in" => Tok::In,
        b"rec" => Tok::Rec,
        b"inherit" => Tok::Inherit,
        b"or" => Tok::OrKeyword,
        _ => Tok::Id,
    }
}

impl<'s> Lexer<'s> {
    pub(crate) fn new(text: &'s [u8]) -> Self {
        Self { text, pos: 0, no_path: 0, no_uri: 0 }
    }

    /// The byte at `at`, 0 past the end.
    pub(crate) fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn run(&self, mut at: usize, class: u8) -> usize {
        while at < self.text.len() && is(self.text[at], class) {
            at += 1;
        }
        at
    }

    /// The first offset from `at` on that is neither white space nor comment; `Err` at a comment without end.
    pub(crate) fn skip_trivia(&self, mut at: usize) -> Result<usize, usize> {
        let text = self.text;
        loop {
            match text.get(at) {
                Some(b' ' | b'\t' | b'\r' | b'\n') => at += 1,
                Some(b'#') => {
                    while at < text.len() && !matches!(text[at], b'\r' | b'\n') {
                        at += 1;
                    }
                }
                Some(b'/') if text.get(at + 1) == Some(&b'*') => {
                    let rest = &text[at + 2..];
                    match rest.windows(2).position(|w| w == b"*/") {
                        Some(n) => at += n + 4,
                        None => return Err(at),
                    }
                }
                _ => return Ok(at),
            }
        }
    }

    /// The first byte of the next token, without reading it; 0 at the end.
    pub(crate) fn next_byte(&self) -> u8 {
        self.skip_trivia(self.pos).map_or(0, |at| self.byte(at))
    }

    /// Reads one token.
    pub(crate) fn token(&mut self) -> Token {
        let (kind, start, end) = match self.skip_trivia(self.pos) {
            Ok(start) => {
                let (kind, end) = self.at(start);
                (kind, start, end)
            }
            Err(start) => (Tok::OpenComment, start, start + 2),
        };
        self.pos = end;
        Token { kind, start: start as u32, end: end as u32 }
    }

    /// End of the first run of a path at `at`: `c*(/c+)+/?`, or `c*/` when `${` follows.
    fn path(&mut self, at: usize) -> Option<usize> {
        if at < self.no_path {
            return None;
        }
        let mut end = self.run(at, PATH);
        let interpolated = self.byte(end + 1) == b'$' && self.byte(end + 2) == b'{';
        if self.byte(end) != b'/' || !is(self.byte(end + 1), PATH) && !interpolated {
            self.no_path = end;
            return None;
        }
        if interpolated {
            return Some(end + 1);
        }
        while self.byte(end) == b'/' && is(self.byte(end + 1), PATH) {
            end = self.run(end + 1, PATH);
        }
        Some(if self.byte(end) == b'/' { end + 1 } else { end })
    }

    fn uri(&mut self, at: usize) -> Option<usize> {
        if at < self.no_uri {
            return None;
        }
        let colon = self.run(at, SCHEME);
        if self.byte(colon) != b':' || !is(self.byte(colon + 1), URI) {
            self.no_uri = colon;
            return None;
        }
        Some(self.run(colon + 1, URI))
    }

    fn search_path(&self, at: usize) -> Option<usize> {
        let mut end = at + 1;
        loop {
            let next = self.run(end, PATH);
            if next == end {
                return None;
            }
            match self.byte(next) {
                b'/' => end = next + 1,
                b'>' => return Some(next + 1),
                _ => return None,
            }
        }
    }

    fn number(&self, at: usize) -> (Tok, usize) {
        let digits = |mut i: usize| {
            while self.byte(i).is_ascii_digit() {
                i += 1;
            }
            i
        };
        let whole = digits(at);
        let mut end = whole;
        if self.byte(whole) == b'.' {
            let fraction = digits(whole + 1);
            let leading_zero = self.byte(at) == b'0';
            let float = if whole == at {
                fraction > whole + 1
            } else if leading_zero {
                whole == at + 1 && fraction > whole + 1
            } else {
                true
            };
            if float {
                end = fraction;
                if matches!(self.byte(end), b'e' | b'E') {
                    let sign = usize::from(matches!(self.byte(end + 1), b'+' | b'-'));
                    let exponent = digits(end + 1 + sign);
                    if exponent > end + 1 + sign {
                        end = exponent;
                    }
                }
                return (Tok::Float, end);
            }
        }
        (Tok::Int, end)
    }

    fn at(&mut self, at: usize) -> (Tok, usize) {
        let Some(&c) = self.text.get(at) else { return (Tok::Eof, at) };
        let next = self.byte(at + 1);
        let one = |kind| (kind, at + 1);
        let two = |kind| (kind, at + 2);
        match c {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let end = self.run(at, ID);
                match self.byte(end) {
                    b'.' | b'+' | b'/' | b':' => {
                        if let Some(end) = self.path(at) {
                            return (Tok::Path, end);
                        }
                        if c != b'_'
                            && let Some(end) = self.uri(at)
                        {
                            return (Tok::Uri, end);
                        }
                    }
                    _ => {}
                }
                (keyword(&self.text[at..end]), end)
            }
            b'0'..=b'9' => match self.path(at) {
                Some(end) => (Tok::Path, end),
                None => self.number(at),
            },
            b'.' => match self.path(at) {
                Some(end) => (Tok::Path, end),
                None if next.is_ascii_digit() => self.number(at),
                None if next == b'.' && self.byte(at + 2) == b'.' => (Tok::Ellipsis, at + 3),
                None => one(Tok::Dot),
            },
            b'-' | b'+' => match self.path(at) {
                Some(end) => (Tok::Path, end),
                None if c == b'-' && next == b'>' => two(Tok::Implies),
                None if c == b'-' => one(Tok::Minus),
                None if next == b'+' => two(Tok::Concat),
                None => one(Tok::Plus),
            },
            b'/' => match self.path(at) {
                Some(end) => (Tok::Path, end),
                None if next == b'/' => two(Tok::Update),
                None => one(Tok::Slash),
            },
            b'~' if next == b'/' => match self.path(at + 1) {
                Some(end) => (Tok::HomePath, end),
                None => one(Tok::Stray),
            },
            b'<' => match self.search_path(at) {
                Some(end) => (Tok::SearchPath, end),
                None if next == b'=' => two(Tok::LessOrEqual),
                None if next == b'|' => two(Tok::PipeFrom),
                None => one(Tok::Less),
            },
            b'>' if next == b'=' => two(Tok::GreaterOrEqual),
            b'>' => one(Tok::Greater),
            b'|' if next == b'|' => two(Tok::Or),
            b'|' if next == b'>' => two(Tok::PipeInto),
            b'&' if next == b'&' => two(Tok::And),
            b'=' if next == b'=' => two(Tok::Equal),
            b'=' => one(Tok::Assign),
            b'!' if next == b'=' => two(Tok::NotEqual),
            b'!' => one(Tok::Not),
            b'"' => one(Tok::Quote),
            b'\'' if next == b'\'' => {
                let mut end = at + 2;
                while self.byte(end) == b' ' {
                    end += 1;
                }
                (Tok::IndentQuote, if self.byte(end) == b'\n' { end + 1 } else { at + 2 })
            }
            b'$' if next == b'{' => two(Tok::DollarBrace),
            b'{' => one(Tok::BraceOpen),
            b'}' => one(Tok::BraceClose),
            b'(' => one(Tok::ParenOpen),
            b')' => one(Tok::ParenClose),
            b'[' => one(Tok::BracketOpen),
            b']' => one(Tok::BracketClose),
            b';' => one(Tok::Semicolon),
            b':' => one(Tok::Colon),
            b',' => one(Tok::Comma),
            b'@' => one(Tok::At),
            b'?' => one(Tok::Question),
            b'*' => one(Tok::Star),
            _ => one(Tok::Stray),
        }
    }
}
