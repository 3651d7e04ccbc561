//! Strings, indented strings and paths: text with `${…}` in it.
//!
//! On entry `self.tok` is the opening token and nothing behind it has been read, so raw text starts at `self.tok.end`.

use super::*;
use crate::lexer::is_path_byte;

/// A piece of an indented string, cut where the lexer of C++ Nix cuts: indentation is counted piece by piece.
enum Piece {
    /// Offsets of text as written.
    Plain(usize, usize),
    /// An escape; it ends the white space that counts as indentation.
    Escaped(Vec<u8>),
    Expr(NodeId),
}

impl<'s, 'a: 's> Parser<'s, 'a, '_> {
    /// `${ expr }` at `at`; gives the expression and the offset after the brace.
    fn interpolation(&mut self, at: usize) -> Parsed<(NodeId, usize)> {
        self.lexer.pos = at + 2;
        self.advance();
        let expr = self.expr()?;
        if self.tok.kind != Tok::BraceClose {
            return self.unexpected("`}`", "'}'").map_err(|mut report: Box<Report>| {
                report
                    .notes
                    .push((Some(self.span(at as u32, at as u32 + 2)), "opened here".into()));
                report
            });
        }
        Ok((expr, self.tok.end as usize))
    }

    /// Goes on with plain code at `at`.
    fn resume(&mut self, at: usize) {
        self.lexer.pos = at;
        self.tok.end = at as u32;
        self.advance();
    }

    fn push_text(&mut self, text: &[u8]) {
        if !text.is_empty() {
            self.parts.push(Part::Text(self.arena.alloc_slice_copy(text)));
        }
    }

    /// The node of the parts collected since `from`.
    fn string_node(&mut self, from: usize, start: u32, indented: bool) -> NodeId {
        let kind = match self.parts[from..] {
            [] => Kind::Str(b""),
            [Part::Text(text)] => Kind::Str(text),
            // C++ Nix shows an indented string of one string in it as that string.
            [Part::Expr(expr)]
                if indented && matches!(self.raw.nodes[expr as usize].kind, Kind::Str(_)) =>
            {
                self.parts.truncate(from);
                return expr;
            }
            _ => Kind::Interpolated(raw::pool_run(&mut self.raw.parts, &mut self.parts, from)),
        };
        self.parts.truncate(from);
        self.node(kind, start)
    }

    pub(super) fn string(&mut self) -> Parsed<NodeId> {
        let start = self.tok.start;
        let text = self.lexer.text;
        let mut at = self.tok.end as usize;
        let from = self.parts.len();
        let mut owned: Vec<u8> = Vec::new();
        let mut plain = at;
        loop {
            match text.get(at) {
                Some(b'"') => break,
                Some(b'\\') if at + 1 < text.len() => {
                    owned.extend_from_slice(&text[plain..at]);
                    owned.push(unescape(text[at + 1]));
                    at += 2;
                    plain = at;
                }
                Some(b'\r') => {
                    owned.extend_from_slice(&text[plain..at]);
                    owned.push(b'\n');
                    at += if text.get(at + 1) == Some(&b'\n') { 2 } else { 1 };
                    plain = at;
                }
                Some(b'$') => match text.get(at + 1) {
                    Some(b'{') => {
                        owned.extend_from_slice(&text[plain..at]);
                        self.push_text(&owned);
                        owned.clear();
                        let (expr, end) = self.interpolation(at)?;
                        self.parts.push(Part::Expr(expr));
                        at = end;
                        plain = end;
                    }
                    // A second dollar is spent with the first: `$${` is text.
                    Some(b'$') => at += 2,
                    _ => at += 1,
                },
                Some(0) => {
                    owned.extend_from_slice(&text[plain..at]);
                    return self.nul(owned, at, false);
                }
                Some(_) => at += 1,
                None => return self.unclosed(start, 1, "\""),
            }
        }
        if owned.is_empty() {
            self.push_text(&text[plain..at]);
        } else {
            owned.extend_from_slice(&text[plain..at]);
            self.push_text(&owned);
        }
        self.resume(at + 1);
        Ok(self.string_node(from, start, false))
    }

    /// A null byte in a string whose text, up to here, is `text`.
    fn nul<T>(&self, mut text: Vec<u8>, at: usize, indented: bool) -> Parsed<T> {
        let rest = &self.lexer.text[at..];
        let ends =
            |two: &[u8]| two == b"${" || if indented { two == b"''" } else { two[0] == b'"' };
        let end = rest.windows(2).position(ends).unwrap_or(rest.len());
        text.extend_from_slice(&rest[..end]);
        let shown = String::from_utf8_lossy(&text).replace('\0', "␀");
        let message = format!(
            "input string '{shown}' cannot be represented as Nix string because it contains null bytes"
        );
        self.fail(at as u32, at as u32 + 1, message)
    }

    fn unclosed<T>(&self, start: u32, len: u32, with: &str) -> Parsed<T> {
        let expected =
            if len == 1 { "'\"'" } else { "indented string or '${' or end of an indented string" };
        let title = format!("syntax error, unexpected end of file, expecting {expected}");
        let report =
            Report::new(title, self.span(start, start + len)).label("this string is not closed");
        Err(Box::new(report.help(format!("end it with `{with}`"))))
    }

    pub(super) fn indented_string(&mut self) -> Parsed<NodeId> {
        let start = self.tok.start;
        let text = self.lexer.text;
        let mut at = self.tok.end as usize;
        let mut pieces = Vec::new();
        let mut plain = at;
        let flush = |pieces: &mut Vec<Piece>, plain: usize, at: usize| {
            if plain < at {
                pieces.push(Piece::Plain(plain, at));
            }
        };
        loop {
            match (text.get(at), text.get(at + 1)) {
                (None, _) => return self.unclosed(start, 2, "''"),
                (Some(0), _) => return self.nul(text[plain..at].to_vec(), at, true),
                (Some(b'$'), Some(b'{')) => {
                    flush(&mut pieces, plain, at);
                    let (expr, end) = self.interpolation(at)?;
                    pieces.push(Piece::Expr(expr));
                    at = end;
                    plain = end;
                }
                (Some(b'$'), Some(b'\'') | None) => {
                    flush(&mut pieces, plain, at);
                    pieces.push(Piece::Escaped(vec![b'$']));
                    at += 1;
                    plain = at;
                }
                // The byte after a dollar is spent with it: `$${` is text.
                (Some(b'$'), Some(_)) => at += 2,
                (Some(b'\''), Some(b'\'')) => {
                    flush(&mut pieces, plain, at);
                    let (escaped, len) = match (text.get(at + 2), text.get(at + 3)) {
                        (Some(b'$'), _) => (vec![b'$'], 3),
                        (Some(b'\''), _) => (vec![b'\'', b'\''], 3),
                        (Some(b'\\'), Some(c)) => (vec![unescape(*c)], 4),
                        _ => break,
                    };
                    pieces.push(Piece::Escaped(escaped));
                    at += len;
                    plain = at;
                }
                (Some(b'\''), Some(b'$') | None) => {
                    flush(&mut pieces, plain, at);
                    pieces.push(Piece::Escaped(vec![b'\'']));
                    at += 1;
                    plain = at;
                }
                (Some(b'\''), Some(_)) => at += 2,
                (Some(_), _) => at += 1,
            }
        }
        let from = self.parts.len();
        self.strip(&pieces);
        self.resume(at + 2);
        Ok(self.string_node(from, start, true))
    }

    /// Takes the common indentation away and leaves the parts on `self.parts`.
    fn strip(&mut self, pieces: &[Piece]) {
        let text = self.lexer.text;
        let indent = common_indentation(text, pieces);
        let mut line_start = true;
        let mut dropped = 0;
        let mut out: Vec<u8> = Vec::new();
        for (i, piece) in pieces.iter().enumerate() {
            let bytes = match piece {
                Piece::Expr(expr) => {
                    line_start = false;
                    dropped = 0;
                    self.push_text(&out);
                    out.clear();
                    self.parts.push(Part::Expr(*expr));
                    continue;
                }
                Piece::Plain(start, end) => &text[*start..*end],
                Piece::Escaped(bytes) => bytes,
            };
            let piece_start = out.len();
            for &c in bytes {
                if !line_start {
                    out.push(c);
                    line_start = c == b'\n';
                } else if c == b' ' {
                    if dropped >= indent {
                        out.push(c);
                    }
                    dropped += 1;
                } else {
                    dropped = 0;
                    line_start = c == b'\n';
                    out.push(c);
                }
            }
            // A last line of nothing but spaces goes, up to its line break.
            if i + 1 == pieces.len()
                && let Some(newline) = out[piece_start..].iter().rposition(|c| *c == b'\n')
                && out[piece_start + newline + 1..].iter().all(|c| *c == b' ')
            {
                out.truncate(piece_start + newline + 1);
            }
            if self.options.pieces {
                self.push_text(&out);
                out.clear();
            }
        }
        self.push_text(&out);
    }

    /// `./a`, `/a`, `a/b`, `~/a`, with or without `${…}`.
    pub(super) fn path_literal(&mut self) -> Parsed<NodeId> {
        let tok = self.tok;
        let start = tok.start;
        let text = self.lexer.text;
        let written = self.text(tok);
        let lints = self.options.lints;
        let literal = || String::from_utf8_lossy(written);
        let rather = "by a string, relative path, or parameter";
        if tok.kind == Tok::Path && written[0] == b'/' {
            self.lint(lints.absolute_path_literals, "lint-absolute-path-literals", tok, |_| {
                format!("absolute path literals are not portable. Consider replacing path literal '{}' {rather}", literal())
            })?;
        } else if tok.kind == Tok::Path && written[0] != b'.' {
            self.lint(lints.short_path_literals, "lint-short-path-literals", tok, |_| {
                format!(
                    "relative path literal '{0}' should be prefixed with '.' for clarity: './{0}'",
                    literal()
                )
            })?;
        }
        let mut first = if tok.kind == Tok::HomePath {
            let Some(home) = self.options.home else {
                let shown = String::from_utf8_lossy(written).into_owned();
                return self.fail(
                    start,
                    tok.end,
                    format!("the path '{shown}' can not be resolved in pure mode"),
                );
            };
            self.lint(lints.absolute_path_literals, "lint-absolute-path-literals", tok, |_| {
                format!("home path literals are not portable. Consider replacing path literal '{}' {rather}", literal())
            })?;
            canonical(&[home, &written[1..]].concat())
        } else if written[0] == b'/' {
            canonical(written)
        } else {
            canonical(&[self.options.base_path, b"/", written].concat())
        };
        if written.len() > 1 && written.ends_with(b"/") {
            first.push(b'/');
        }
        let from = self.parts.len();
        let mut at = tok.end as usize;
        let mut plain = at;
        let mut dynamic = false;
        loop {
            match text.get(at) {
                Some(b'$') if text.get(at + 1) == Some(&b'{') => {
                    if dynamic {
                        self.push_text(&text[plain..at]);
                    } else {
                        first.extend_from_slice(&text[plain..at]);
                        self.push_text(&first);
                        dynamic = true;
                    }
                    let (expr, end) = self.interpolation(at)?;
                    self.parts.push(Part::Expr(expr));
                    at = end;
                    plain = end;
                }
                Some(c) if *c == b'/' || is_path_byte(*c) => at += 1,
                _ => break,
            }
        }
        if text[at - 1] == b'/' {
            return self.fail(start, at as u32, "path has a trailing slash");
        }
        if !dynamic && at > plain {
            return self.fail(
                start,
                at as u32,
                "syntax error, unexpected end of path, expecting '${'",
            );
        }
        if dynamic {
            self.push_text(&text[plain..at]);
        }
        self.resume(at);
        let kind = if dynamic {
            Kind::InterpolatedPath(raw::pool_run(&mut self.raw.parts, &mut self.parts, from))
        } else {
            Kind::Path(self.arena.alloc_slice_copy(&first))
        };
        Ok(self.node(kind, start))
    }
}

fn unescape(c: u8) -> u8 {
    match c {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        c => c,
    }
}

/// The smallest indentation of a line that holds more than spaces. A last line of only spaces does not count.
fn common_indentation(text: &[u8], pieces: &[Piece]) -> usize {
    let mut smallest = 1_000_000;
    let mut current = 0;
    let mut line_start = true;
    for piece in pieces {
        let Piece::Plain(start, end) = piece else {
            if line_start {
                line_start = false;
                smallest = smallest.min(current);
            }
            continue;
        };
        for &c in &text[*start..*end] {
            match c {
                b'\n' => {
                    line_start = true;
                    current = 0;
                }
                b' ' if line_start => current += 1,
                _ if line_start => {
                    line_start = false;
                    smallest = smallest.min(current);
                }
                _ => {}
            }
        }
    }
    smallest
}

/// An absolute path without `.`, `..` and double slashes.
pub fn canonical(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    for component in path.split(|c| *c == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                let parent = out.iter().rposition(|c| *c == b'/').unwrap_or(0);
                out.truncate(parent);
            }
            _ => {
                out.push(b'/');
                out.extend_from_slice(component);
            }
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}
