//! Operators and their precedence, as the grammar of C++ Nix has them.

use super::*;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    /// `a == b == c` is an error.
    None,
}

/// Precedence of `!`: between `//` and `+`.
const NOT: u8 = 7;
const HAS_ATTR: u8 = 11;
/// Precedence of unary `-`: above everything, `?` too.
const NEGATE: u8 = 12;

fn binary(tok: Tok) -> Option<(u8, Side, BinaryOp)> {
    use BinaryOp::*;
    Some(match tok {
        Tok::Implies => (1, Side::Right, Implies),
        Tok::Or => (2, Side::Left, Or),
        Tok::And => (3, Side::Left, And),
        Tok::Equal => (4, Side::None, Equal),
        Tok::NotEqual => (4, Side::None, NotEqual),
        Tok::Less => (5, Side::None, Less),
        Tok::LessOrEqual => (5, Side::None, LessOrEqual),
        Tok::Greater => (5, Side::None, Greater),
        Tok::GreaterOrEqual => (5, Side::None, GreaterOrEqual),
        Tok::Update => (6, Side::Right, Update),
        Tok::Plus => (8, Side::Left, Add),
        Tok::Minus => (8, Side::Left, Subtract),
        Tok::Star => (9, Side::Left, Multiply),
        Tok::Slash => (9, Side::Left, Divide),
        Tok::Concat => (10, Side::Right, Concat),
        _ => return None,
    })
}

impl<'s, 'a: 's> Parser<'s, 'a, '_> {
    /// `a |> f |> g` or `g <| f <| a`, not both in one: calls, looser than every operator.
    pub(super) fn pipes(&mut self) -> Parsed<NodeId> {
        let first = self.operators(0)?;
        match self.tok.kind {
            Tok::PipeInto => {
                let mut value = first;
                while self.tok.kind == Tok::PipeInto {
                    self.advance();
                    let function = self.operators(0)?;
                    value = self.piped(function, value);
                }
                Ok(value)
            }
            Tok::PipeFrom => {
                let mut functions = vec![first];
                while self.tok.kind == Tok::PipeFrom {
                    self.advance();
                    functions.push(self.operators(0)?);
                }
                let mut value = functions.pop().unwrap_or(first);
                while let Some(function) = functions.pop() {
                    value = self.piped(function, value);
                }
                Ok(value)
            }
            _ => Ok(first),
        }
    }

    /// A call with one more argument.
    fn piped(&mut self, function: NodeId, arg: NodeId) -> NodeId {
        let from = self.nodes.len();
        let callee = match self.raw.nodes[function as usize].kind {
            Kind::Call(inner, args) => {
                self.nodes.extend_from_slice(args.of(&self.raw.lists));
                inner
            }
            _ => function,
        };
        self.nodes.push(arg);
        let args = raw::pool_run(&mut self.raw.lists, &mut self.nodes, from);
        let start = self.start_of(function).min(self.start_of(arg));
        self.node(Kind::Call(callee, args), start)
    }

    /// An expression of operators that bind at least as tightly as `min`.
    pub(super) fn operators(&mut self, min: u8) -> Parsed<NodeId> {
        let start = self.tok.start;
        let mut left = match self.tok.kind {
            Tok::Not => {
                self.advance();
                self.enter()?;
                let operand = self.operators(NOT + 1)?;
                self.leave();
                self.node(Kind::Not(operand), start)
            }
            Tok::Minus => {
                self.advance();
                self.enter()?;
                let operand = self.operators(NEGATE + 1)?;
                self.leave();
                self.node(Kind::Negate(operand), start)
            }
            _ => self.application()?,
        };
        let mut closed = None;
        loop {
            let tok = self.tok;
            if tok.kind == Tok::Question {
                if HAS_ATTR < min {
                    return Ok(left);
                }
                self.advance();
                let path = self.attr_path()?;
                left = self.node(Kind::HasAttr(left, path), start);
                continue;
            }
            let Some((level, side, op)) = binary(tok.kind) else { return Ok(left) };
            if level < min {
                return Ok(left);
            }
            if closed == Some(level) {
                return self.unexpected("an operator of another kind", "").map_err(
                    |report: Box<Report>| {
                        Box::new(
                            report.help("comparisons cannot be chained; use parentheses or `&&`"),
                        )
                    },
                );
            }
            closed = (side == Side::None).then_some(level);
            self.advance();
            self.enter()?;
            let right = self.operators(if side == Side::Right { level } else { level + 1 })?;
            self.leave();
            left = self.node(Kind::Binary { op, left, right, at: tok.start }, start);
        }
    }
}
