//! Text to the raw tree: operators by precedence climbing, everything else by recursive descent.

mod bindings;
mod operators;
mod strings;

pub use strings::canonical;

use bumpalo::Bump;

use crate::Options;
use crate::ast::BinaryOp;
use crate::lexer::{Lexer, Tok, Token};
use crate::lint::{Lint, Warning};
use crate::raw::{self, Kind, Name, Node, NodeId, Part, PathName, Raw, RawLambda};
use crate::report::Report;
use crate::source::Span;

/// Boxed: errors are rare and large.
pub(crate) type Parsed<T> = Result<T, Box<Report>>;

pub(crate) struct Parser<'s, 'a, 'o> {
    lexer: Lexer<'s>,
    /// The token being looked at; nothing behind it has been read yet.
    tok: Token,
    /// End of the token before.
    last_end: u32,
    arena: &'a Bump,
    /// Where the text begins, as spans count.
    base: u32,
    options: &'o Options<'o>,
    depth: u32,
    pub(crate) raw: Raw<'s, 'a>,
    /// Errors that do not stop the parser: duplicate names.
    pub(crate) errors: Vec<Report>,
    nodes: Vec<NodeId>,
    parts: Vec<Part<'a>>,
    path: Vec<PathName>,
    /// Where the last `e or` ended.
    applied_or: u32,
}

impl<'s, 'a: 's, 'o> Parser<'s, 'a, 'o> {
    pub(crate) fn new(
        text: &'s [u8],
        arena: &'a Bump,
        base: u32,
        options: &'o Options<'o>,
    ) -> Self {
        let mut lexer = Lexer::new(text);
        let tok = lexer.token();
        Self {
            lexer,
            tok,
            last_end: 0,
            arena,
            base,
            options,
            depth: 0,
            raw: Raw::new(text.len()),
            errors: Vec::new(),
            nodes: Vec::new(),
            parts: Vec::new(),
            path: Vec::new(),
            applied_or: 0,
        }
    }

    /// The whole file.
    pub(crate) fn file(&mut self) -> Parsed<NodeId> {
        let root = self.expr()?;
        match self.tok.kind {
            Tok::Eof => Ok(root),
            _ => self.unexpected("the end of the file", "end of file"),
        }
    }

    fn advance(&mut self) {
        self.last_end = self.tok.end;
        self.tok = self.lexer.token();
    }

    fn text(&self, tok: Token) -> &'s [u8] {
        &self.lexer.text[tok.start as usize..tok.end as usize]
    }

    fn span(&self, start: u32, end: u32) -> Span {
        Span { start: self.base + start, end: self.base + end }
    }

    fn fail<T>(&self, start: u32, end: u32, title: impl Into<String>) -> Parsed<T> {
        Err(Box::new(Report::new(title, self.span(start, end))))
    }

    fn warn(&self, span: Span, text: String, place_first: bool) {
        if let Some(warnings) = self.options.warnings {
            warnings.borrow_mut().push(Warning { span, text, place_first });
        }
    }

    /// Warns of `tok`, or refuses it, as the setting `name` says; `text` is told whether it is refused.
    fn lint(
        &self,
        level: Lint,
        name: &str,
        tok: Token,
        text: impl FnOnce(bool) -> String,
    ) -> Parsed<()> {
        if level == Lint::Ignore {
            return Ok(());
        }
        let text = format!("{} ({name})", text(level == Lint::Fatal));
        if level == Lint::Fatal {
            return self.fail(tok.start, tok.end, text);
        }
        self.warn(self.span(tok.start, tok.end), text, false);
        Ok(())
    }

    /// An argument, element or default. C++ Nix announces that `e or` will be no call there some day.
    fn operand(&mut self) -> Parsed<NodeId> {
        let node = self.select()?;
        let Node { kind, start, end } = self.raw.nodes[node as usize];
        if matches!(kind, Kind::Call(..)) && end == self.applied_or && self.last_end == end {
            let written = &self.lexer.text[start as usize..end as usize];
            let text = format!(
                "This expression uses `or` as an identifier in a way that will change in a future Nix release.\n\
                 Wrap this entire expression in parentheses to preserve its current meaning:\n    ({})",
                String::from_utf8_lossy(written)
            );
            self.warn(self.span(start, end), text, true);
        }
        Ok(node)
    }

    /// An error at the token being looked at. `expected` is what C++ Nix lists there, which is nothing where it is more
    /// than four things; `wanted` says it for people.
    fn unexpected<T>(&self, wanted: &str, expected: &str) -> Parsed<T> {
        let tok = self.tok;
        let span = self.span(tok.start, tok.end);
        if tok.kind == Tok::OpenComment {
            // Not a comment to C++ Nix but a division, and then a multiplication.
            let found = if expected.is_empty() { "'/'" } else { "'*'" };
            return Err(Box::new(
                Report::new(format!("syntax error, unexpected {found}"), span)
                    .label("this comment is not closed")
                    .help("end it with `*/`"),
            ));
        }
        let mut title = format!("syntax error, unexpected {}", self.token_name(tok));
        if !expected.is_empty() {
            title = format!("{title}, expecting {expected}");
        }
        Err(Box::new(Report::new(title, span).label(format!("expected {wanted}"))))
    }

    /// A token as the messages of C++ Nix name it.
    fn token_name(&self, tok: Token) -> String {
        match tok.kind {
            Tok::Eof => "end of file".into(),
            Tok::Id => "identifier".into(),
            Tok::Int => "integer".into(),
            Tok::Float => "floating-point literal".into(),
            Tok::Path => "path".into(),
            Tok::HomePath => "'~/…' path".into(),
            Tok::SearchPath => "'<…>' path".into(),
            Tok::Uri => "URI".into(),
            Tok::IndentQuote => "start of an indented string".into(),
            Tok::Stray => "invalid token".into(),
            _ => format!("'{}'", String::from_utf8_lossy(self.text(tok)).trim_end()),
        }
    }

    fn expect(&mut self, kind: Tok, wanted: &str, expected: &str) -> Parsed<()> {
        if self.tok.kind != kind {
            return self.unexpected(wanted, expected);
        }
        self.advance();
        Ok(())
    }

    /// As [`Self::expect`], for the closing bracket of the one at `open`.
    fn close(&mut self, kind: Tok, wanted: &str, expected: &str, open: u32) -> Parsed<()> {
        if self.tok.kind != kind {
            return self.unexpected(wanted, expected).map_err(|mut report: Box<Report>| {
                report.notes.push((Some(self.span(open, open + 1)), "opened here".into()));
                report
            });
        }
        self.advance();
        Ok(())
    }

    /// Counts one more level of nesting; levels are left by [`Self::leave`] only on success, errors end the parse.
    fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > self.options.max_depth {
            return self.fail(self.tok.start, self.tok.end, too_deep(self.options.max_depth));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    fn node(&mut self, kind: Kind<'a>, start: u32) -> NodeId {
        let end = self.last_end;
        self.node_to(kind, start, end)
    }

    fn node_to(&mut self, kind: Kind<'a>, start: u32, end: u32) -> NodeId {
        self.raw.nodes.push(Node { kind, start, end });
        self.raw.nodes.len() as u32 - 1
    }

    fn start_of(&self, node: NodeId) -> u32 {
        self.raw.nodes[node as usize].start
    }

    /// `expr_function` in the grammar of C++ Nix: whatever may stand in parentheses.
    fn expr(&mut self) -> Parsed<NodeId> {
        self.enter()?;
        let start = self.tok.start;
        let node = match self.tok.kind {
            Tok::Id => match self.lexer.next_byte() {
                b':' | b'@' => self.lambda(start)?,
                _ => self.pipes()?,
            },
            Tok::BraceOpen if self.formals_ahead() => self.lambda(start)?,
            Tok::Let if self.lexer.next_byte() != b'{' => self.let_in(start)?,
            Tok::If => {
                self.advance();
                let condition = self.expr()?;
                self.expect(Tok::Then, "`then`", "'then'")?;
                let yes = self.expr()?;
                self.expect(Tok::Else, "`else`", "'else'")?;
                let no = self.expr()?;
                self.node(Kind::If(condition, yes, no), start)
            }
            Tok::With => {
                self.advance();
                let namespace = self.expr()?;
                self.expect(Tok::Semicolon, "`;`", "';'")?;
                let body = self.expr()?;
                self.node(Kind::With(namespace, body), start)
            }
            Tok::Assert => {
                self.advance();
                let condition = self.expr()?;
                self.expect(Tok::Semicolon, "`;`", "';'")?;
                let body = self.expr()?;
                self.node(Kind::Assert(condition, body), start)
            }
            _ => self.pipes()?,
        };
        self.leave();
        Ok(node)
    }

    fn let_in(&mut self, start: u32) -> Parsed<NodeId> {
        self.advance();
        let set = self.bindings(true)?;
        if self.tok.kind != Tok::In {
            return self.unexpected("a binding or `in`", "'in' or 'inherit'");
        }
        self.advance();
        if let Some((_, _, start, end)) = self.raw.sets[set as usize].dynamic.first() {
            return self.fail(*start, *end, "dynamic attributes not allowed in let");
        }
        let body = self.expr()?;
        Ok(self.node(Kind::Let(set, body), start))
    }

    fn lambda(&mut self, start: u32) -> Parsed<NodeId> {
        let (arg, formals) = if self.tok.kind == Tok::Id {
            let arg = self.tok;
            self.advance();
            let formals = if self.tok.kind == Tok::At {
                self.advance();
                Some(self.formals()?)
            } else {
                None
            };
            (Some(arg), formals)
        } else {
            let formals = self.formals()?;
            let arg = if self.tok.kind == Tok::At {
                self.advance();
                let arg = self.tok;
                self.expect(Tok::Id, "a name for the whole argument", "identifier")?;
                Some(arg)
            } else {
                None
            };
            (arg, Some(formals))
        };
        let expected = if arg.is_none() { "':' or '@'" } else { "':'" };
        self.expect(Tok::Colon, "`:`", expected)?;
        let head_end = self.last_end;
        let arg = arg.map(|tok| {
            let text = self.text(tok);
            let name = self.raw.name(text);
            if let Some((run, _)) = formals
                && let Some(formal) = run.of(&self.raw.formals).iter().find(|f| f.name == name)
            {
                let (start, end) = (formal.start, formal.end);
                self.duplicate_formal(name, (tok.start, tok.end), (start, end));
            }
            name
        });
        let body = self.expr()?;
        self.raw.lambdas.push(RawLambda { arg, formals, body, head_end });
        let id = self.raw.lambdas.len() as u32 - 1;
        Ok(self.node(Kind::Lambda(id), start))
    }

    /// `f a b`
    fn application(&mut self) -> Parsed<NodeId> {
        let function = self.select()?;
        if !self.starts_simple() {
            return Ok(function);
        }
        let start = self.start_of(function);
        let from = self.nodes.len();
        // `(f a) b` is one call.
        let function = match self.raw.nodes[function as usize].kind {
            Kind::Call(inner, args) => {
                self.nodes.extend_from_slice(args.of(&self.raw.lists));
                inner
            }
            _ => function,
        };
        while self.starts_simple() {
            let arg = self.operand()?;
            self.nodes.push(arg);
        }
        let args = raw::pool_run(&mut self.raw.lists, &mut self.nodes, from);
        Ok(self.node(Kind::Call(function, args), start))
    }

    fn starts_simple(&self) -> bool {
        match self.tok.kind {
            Tok::Id
            | Tok::Int
            | Tok::Float
            | Tok::Path
            | Tok::HomePath
            | Tok::SearchPath
            | Tok::Uri
            | Tok::Quote
            | Tok::IndentQuote
            | Tok::BraceOpen
            | Tok::ParenOpen
            | Tok::BracketOpen
            | Tok::Rec => true,
            Tok::Let => self.lexer.next_byte() == b'{',
            _ => false,
        }
    }

    /// `e`, `e.a.b`, `e.a or d`, and `e or`, which applies `e` to a variable called `or`.
    fn select(&mut self) -> Parsed<NodeId> {
        let start = self.tok.start;
        let subject = self.simple()?;
        match self.tok.kind {
            Tok::Dot => {
                self.advance();
                let path = self.attr_path()?;
                let default = if self.tok.kind == Tok::OrKeyword {
                    self.advance();
                    self.enter()?;
                    let default = self.operand()?;
                    self.leave();
                    Some(default)
                } else {
                    None
                };
                Ok(self.node(Kind::Select(subject, path, default), start))
            }
            Tok::OrKeyword => {
                let or = self.tok;
                self.applied_or = or.end;
                self.advance();
                let arg = self.node(Kind::Var(raw::OR), or.start);
                let from = self.nodes.len();
                self.nodes.push(arg);
                let args = raw::pool_run(&mut self.raw.lists, &mut self.nodes, from);
                Ok(self.node(Kind::Call(subject, args), start))
            }
            _ => Ok(subject),
        }
    }

    fn simple(&mut self) -> Parsed<NodeId> {
        let tok = self.tok;
        let start = tok.start;
        match tok.kind {
            Tok::Id => {
                self.advance();
                let text = self.text(tok);
                if text == b"__curPos" {
                    return Ok(self.node(Kind::CurPos, start));
                }
                let name = self.raw.name(text);
                Ok(self.node(Kind::Var(name), start))
            }
            Tok::Int => {
                let text = str::from_utf8(self.text(tok)).unwrap_or_default();
                let Ok(value) = text.parse() else {
                    return self.fail(start, tok.end, format!("invalid integer '{text}'"));
                };
                self.advance();
                Ok(self.node(Kind::Int(value), start))
            }
            Tok::Float => {
                let value = self.float(tok)?;
                self.advance();
                Ok(self.node(Kind::Float(value), start))
            }
            Tok::Quote => self.string(),
            Tok::IndentQuote => self.indented_string(),
            Tok::Path | Tok::HomePath => self.path_literal(),
            Tok::SearchPath => {
                let text = self.text(tok);
                let text = self.arena.alloc_slice_copy(&text[1..text.len() - 1]);
                self.advance();
                Ok(self.node(Kind::SearchPath(text), start))
            }
            Tok::Uri => {
                let level = self.options.lints.url_literals;
                self.lint(level, "lint-url-literals", tok, |fatal| {
                    let what = if fatal { "disallowed" } else { "discouraged" };
                    let text = String::from_utf8_lossy(self.text(tok));
                    format!("URL literals are {what}. Consider using a string literal \"{text}\" instead")
                })?;
                let text = self.arena.alloc_slice_copy(self.text(tok));
                self.advance();
                Ok(self.node(Kind::Str(text), start))
            }
            Tok::ParenOpen => {
                self.advance();
                let inner = self.expr()?;
                self.close(Tok::ParenClose, "`)`", "')'", start)?;
                Ok(inner)
            }
            Tok::BracketOpen => {
                self.advance();
                let from = self.nodes.len();
                self.enter()?;
                while self.starts_simple() {
                    let element = self.operand()?;
                    self.nodes.push(element);
                }
                self.leave();
                self.close(Tok::BracketClose, "a list element or `]`", "", start)?;
                let elements = raw::pool_run(&mut self.raw.lists, &mut self.nodes, from);
                Ok(self.node(Kind::List(elements), start))
            }
            Tok::BraceOpen | Tok::Rec | Tok::Let => {
                let recursive = tok.kind != Tok::BraceOpen;
                if recursive {
                    self.advance();
                }
                let open = self.tok.start;
                self.expect(Tok::BraceOpen, "`{`", "'{'")?;
                let set = self.bindings(recursive)?;
                self.close(
                    Tok::BraceClose,
                    "a binding or `}`",
                    if recursive { "'inherit' or '}'" } else { "'inherit'" },
                    open,
                )?;
                let set = self.node(Kind::Set(set), start);
                if tok.kind != Tok::Let {
                    return Ok(set);
                }
                let from = self.path.len();
                self.path.push(PathName::Static(raw::BODY));
                let path = raw::pool_run(&mut self.raw.paths, &mut self.path, from);
                Ok(self.node(Kind::Select(set, path, None), start))
            }
            _ => self.unexpected("an expression", ""),
        }
    }

    fn float(&self, tok: Token) -> Parsed<f64> {
        let text = str::from_utf8(self.text(tok)).unwrap_or_default();
        let value: f64 = text.parse().unwrap_or(f64::INFINITY);
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        let zero = mantissa.bytes().all(|b| matches!(b, b'0' | b'.'));
        if value.is_finite() && (zero || value.is_normal()) {
            return Ok(value);
        }
        self.fail(tok.start, tok.end, format!("invalid float '{text}'"))
    }
}

pub(crate) fn too_deep(limit: u32) -> String {
    format!("expressions are nested more than {limit} deep")
}
