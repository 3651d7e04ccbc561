//! Random programs. Templates say what kind of value they give and want, so that most programs
//! mean something; now and then a wrong kind is put in, so that errors are compared as well.
//!
//! Kinds: `i` integer, `f` float, `n` number, `b` Boolean, `s` string, `c` string with context,
//! `l` list, `I` of integers, `S` of strings, `L` of sets, `a` set, `A` of integers, `p` path,
//! `d` derivation, `x` anything, `u` function, `U` from integer to integer, `P` predicate,
//! `r` regular expression, `v` version, `j` JSON, `t` TOML, `k` a name as a string, `m` small
//! integer. `%/` stands for a directory with files. `{N}` stands for a name of an attribute.

use crate::random::Random;
use crate::templates::TEMPLATES;
use crate::tree::{Node, Part};

const NAMES: [&str; 6] = ["a", "b", "c", "x", "foo", "y'"];
const KINDS: [char; 14] = ['i', 'f', 'b', 's', 'c', 'l', 'I', 'S', 'a', 'A', 'p', 'd', 'u', 'L'];

pub struct Generator {
    random: Random,
    scope: Vec<(String, char)>,
}

/// The program of a seed.
pub fn program(seed: u64) -> Node {
    let mut generator = Generator { random: Random::new(seed), scope: Vec::new() };
    let fuel = 2 + generator.random.below(5);
    generator.node('x', fuel)
}

impl Generator {
    fn node(&mut self, wanted: char, fuel: usize) -> Node {
        let mut kind = wanted;
        if kind == 'x' || (self.random.chance(2) && KINDS.contains(&kind)) {
            kind = *self.random.of(&KINDS);
        }
        if kind == 'n' {
            kind = if self.random.chance(60) { 'i' } else { 'f' };
        }
        let variables: Vec<String> = self
            .scope
            .iter()
            .filter(|(_, known)| *known == kind || wanted == 'x')
            .map(|(name, _)| name.clone())
            .collect();
        if !variables.is_empty() && self.random.chance(if fuel == 0 { 50 } else { 20 }) {
            return Node::text(kind, self.random.of(&variables).clone());
        }
        if fuel == 0 || self.random.chance(8) {
            return Node::text(kind, self.leaf(kind));
        }
        if !"rvjtkm".contains(kind) && self.random.chance(22) {
            return self.scoping(kind, fuel - 1);
        }
        let fitting: Vec<&str> = TEMPLATES
            .iter()
            .filter(|(gives, _)| gives.contains(kind))
            .map(|(_, template)| *template)
            .collect();
        if fitting.is_empty() {
            return Node::text(kind, self.leaf(kind));
        }
        let template = *self.random.of(&fitting);
        self.fill(kind, template, fuel - 1)
    }

    fn fill(&mut self, kind: char, template: &str, fuel: usize) -> Node {
        let mut parts = vec![Part::Text("(".to_owned())];
        let mut rest = template;
        while let Some(at) = rest.find('{') {
            let mut hole = rest[at + 1..].chars();
            match (hole.next(), hole.next()) {
                (Some(kind), Some('}')) if kind.is_ascii_alphabetic() => {
                    parts.push(Part::Text(rest[..at].to_owned()));
                    parts.push(match kind {
                        'N' => Part::Text((*self.random.of(&NAMES)).to_owned()),
                        kind => Part::Node(self.node(kind, fuel)),
                    });
                    rest = &rest[at + 3..];
                }
                _ => {
                    parts.push(Part::Text(rest[..=at].to_owned()));
                    rest = &rest[at + 1..];
                }
            }
        }
        parts.push(Part::Text(format!("{rest})")));
        Node { kind, parts }
    }

    /// `let`, `with`, functions, `rec` and the like: what brings names into scope.
    fn scoping(&mut self, kind: char, fuel: usize) -> Node {
        let depth = self.scope.len();
        let mut parts = Vec::new();
        let say = |parts: &mut Vec<Part>, text: &str| parts.push(Part::Text(text.to_owned()));
        let count = 1 + self.random.below(3);
        let names: Vec<String> = (0..count)
            .map(|_| match self.random.chance(85) {
                true => format!("v{}", self.random.below(6)),
                false => (*self.random.of(&NAMES)).to_owned(),
            })
            .collect();
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        let kinds: Vec<char> = unique.iter().map(|_| *self.random.of(&KINDS)).collect();
        let bound: Vec<(String, char)> =
            unique.iter().cloned().zip(kinds.iter().copied()).collect();
        match self.random.below(7) {
            0 | 1 => {
                // All names are in scope of all definitions: recursion may come of it.
                let recursive = self.random.chance(30);
                if recursive {
                    self.scope.extend(bound.clone());
                }
                say(&mut parts, "(let ");
                for (name, kind) in &bound {
                    say(&mut parts, &format!("{name} = "));
                    parts.push(Part::Node(self.node(*kind, fuel)));
                    say(&mut parts, "; ");
                    if !recursive {
                        self.scope.push((name.clone(), *kind));
                    }
                }
                if self.random.chance(15) {
                    say(&mut parts, "inherit (");
                    parts.push(Part::Node(self.node('A', fuel)));
                    say(&mut parts, ") foo; ");
                    self.scope.push(("foo".to_owned(), 'i'));
                }
                say(&mut parts, "in ");
                parts.push(Part::Node(self.node(kind, fuel)));
                say(&mut parts, ")");
            }
            2 => {
                say(&mut parts, "(with { ");
                for (name, kind) in &bound {
                    say(&mut parts, &format!("{name} = "));
                    parts.push(Part::Node(self.node(*kind, fuel)));
                    say(&mut parts, "; ");
                }
                say(&mut parts, "}; ");
                self.scope.extend(bound);
                parts.push(Part::Node(self.node(kind, fuel)));
                say(&mut parts, ")");
            }
            3 => {
                let arguments: Vec<Node> =
                    kinds.iter().map(|kind| self.node(*kind, fuel)).collect();
                self.scope.extend(bound.clone());
                say(&mut parts, "((");
                for (name, _) in &bound {
                    say(&mut parts, &format!("{name}: "));
                }
                parts.push(Part::Node(self.node(kind, fuel)));
                say(&mut parts, ")");
                for argument in arguments {
                    say(&mut parts, " ");
                    parts.push(Part::Node(argument));
                }
                say(&mut parts, ")");
            }
            4 | 5 => {
                // Formals, some with defaults, some not given, some too many.
                let given: Vec<(String, Node)> = bound
                    .iter()
                    .filter(|_| true)
                    .map(|(name, kind)| (name.clone(), self.node(*kind, fuel)))
                    .collect();
                self.scope.extend(bound.clone());
                let at = self.random.below(4);
                say(&mut parts, if at == 0 { "((all@{ " } else { "(({ " });
                let mut defaults = Vec::new();
                for (index, (name, kind)) in bound.iter().enumerate() {
                    if index > 0 {
                        say(&mut parts, ", ");
                    }
                    say(&mut parts, name);
                    let default = self.random.chance(40);
                    defaults.push(default);
                    if default {
                        say(&mut parts, " ? ");
                        parts.push(Part::Node(self.node(*kind, fuel)));
                    }
                }
                if self.random.chance(25) {
                    say(&mut parts, ", ...");
                }
                say(&mut parts, if at == 1 { " }@all: " } else { " }: " });
                if at < 2 {
                    self.scope.push(("all".to_owned(), 'a'));
                }
                parts.push(Part::Node(self.node(kind, fuel)));
                say(&mut parts, ") { ");
                for ((name, value), default) in given.into_iter().zip(defaults) {
                    if (default && self.random.chance(50)) || self.random.chance(2) {
                        continue;
                    }
                    say(&mut parts, &format!("{name} = "));
                    parts.push(Part::Node(value));
                    say(&mut parts, "; ");
                }
                if self.random.chance(3) {
                    say(&mut parts, "more = 1; ");
                }
                say(&mut parts, "})");
            }
            _ => {
                say(&mut parts, "(rec { ");
                self.scope.extend(bound.clone());
                for (name, kind) in &bound {
                    say(&mut parts, &format!("{name} = "));
                    parts.push(Part::Node(self.node(*kind, fuel)));
                    say(&mut parts, "; ");
                }
                say(&mut parts, "result = ");
                parts.push(Part::Node(self.node(kind, fuel)));
                say(&mut parts, "; }).result");
            }
        }
        self.scope.truncate(depth);
        Node { kind, parts }
    }

    fn leaf(&mut self, kind: char) -> String {
        if self.random.chance(50)
            && let Some(text) = crate::leaves::leaf(kind, &mut self.random)
        {
            return text;
        }
        let choices: &[&str] = match kind {
            'i' => &[
                "0",
                "1",
                "2",
                "3",
                "7",
                "10",
                "255",
                "(-1)",
                "(-5)",
                "1000000",
                "9223372036854775807",
                "(-9223372036854775807 - 1)",
                "4611686018427387904",
                "42",
            ],
            'm' => &["0", "1", "2", "3", "4", "5", "(-1)"],
            'f' => &[
                "0.0",
                "1.0",
                "0.5",
                "(-2.5)",
                "1.0e10",
                "1.0e-7",
                "3.14159265358979",
                ".1",
                "1.e3",
                "123456789.123",
                "(-0.0)",
                "1.0e300",
                "5.0e-324",
                "100000.0",
                "1000000.0",
                "0.1",
            ],
            'b' => &["true", "false"],
            's' => &[
                "\"\"",
                "\"a\"",
                "\"foo\"",
                "\"hello world\"",
                "\"a-b_c.d\"",
                "\"x\\ny\"",
                "\"tab\\t\"",
                "\"q\\\"uote\"",
                "\"\\${x}\"",
                "\"$$\"",
                "\"ä€😀\"",
                "\"/a/b\"",
                "\"1.2.3\"",
                "\"  pad \"",
                "''ind''",
                "''a''",
                "''  x ''${\"y\"} $''",
                "''a''\\nb'''c''",
                "\"back\\\\slash\"",
                "\"12\"",
                "\"a,b,,c\"",
                "\"foo-1.2pre3\"",
                "\"-\"",
                "\"\\r\"",
                "https://example.org/x?y=z",
            ],
            'c' => &[
                "\"${derivation { name = \"c\"; system = \"s\"; builder = \"b\"; }}\"",
                "(derivation { name = \"c\"; system = \"s\"; builder = \"b\"; }).drvPath",
                "\"pre ${derivation { name = \"o\"; system = \"s\"; builder = \"b\"; outputs = [ \"out\" \"dev\" ]; }.dev}\"",
                "\"${builtins.toFile \"t\" \"text\"}\"",
                "\"plain\"",
                "\"${%/file.txt}\"",
            ],
            'l' => {
                &["[]", "[ 1 \"a\" null ]", "[ [] {} ]", "[ 1 2 3 ]", "[ (x: x) ]", "[ 1.5 true ]"]
            }
            'I' => &[
                "[]",
                "[ 1 ]",
                "[ 3 1 2 ]",
                "[ 1 1 1 ]",
                "[ 5 4 3 2 1 0 ]",
                "[ (-1) 9223372036854775807 ]",
            ],
            'S' => &[
                "[]",
                "[ \"a\" \"b\" ]",
                "[ \"foo\" \"\" \"bar\" ]",
                "[ \"x\" \"x\" ]",
                "[ \"a\" \"A\" \"á\" ]",
            ],
            'L' => &[
                "[]",
                "[ { name = \"a\"; value = 1; } ]",
                "[ { name = \"x\"; value = 1; } { name = \"x\"; value = 2; } { name = \"\"; value = {}; } ]",
                "[ { a = 1; } { a = 2; b = 3; } { b = null; } ]",
                "[ { key = 1; } { key = 2; } ]",
            ],
            'a' => &[
                "{}",
                "{ a = 1; b = \"x\"; }",
                "{ x = { y' = [ ]; }; }",
                "{ \"q r\" = 1; foo = null; }",
                "{ a.b.c = 1; a.b.x = 2; a.foo = 3; }",
                "{ ${null} = 1; a = 2; }",
                "{ \"${\"a\" + \"b\"}\" = 1; }",
                "{ __toString = self: \"str\"; }",
                "{ outPath = \"/o\"; }",
                "{ __functor = self: x: x; a = 1; }",
                "{ type = \"derivation\"; }",
                "{ if' = 1; or = 2; }",
                "{ recurseForDerivations = true; }",
            ],
            'A' => &[
                "{}",
                "{ a = 1; b = 2; c = 3; }",
                "{ x = 5; foo = 6; }",
                "{ a = 1; foo = 2; y' = 3; }",
            ],
            'p' => &[
                "%/.",
                "%/dir",
                "%/file.txt",
                "/a/.",
                "/a/b/../c",
                "%/dir/../x",
                "%/none",
                "%/${\"dir\"}/in.nix",
                "%/link",
                "%/dir/./in.nix",
            ],
            'd' => &[
                "derivation { name = \"n\"; system = \"s\"; builder = \"b\"; }",
                "derivation { name = \"m\"; system = \"s\"; builder = \"b\"; outputs = [ \"lib\" \"out\" ]; }",
            ],
            'u' => &[
                "(x: x)",
                "(x: y: x)",
                "toString",
                "builtins.typeOf",
                "(x: [ x x ])",
                "({ a ? 1, ... }: a)",
                "builtins.add 1",
                "({ a, b ? a }@all: all)",
            ],
            'U' => &[
                "(x: x + 1)",
                "(x: x * 2)",
                "(x: -x)",
                "builtins.add 3",
                "(x: 10 / x)",
                "({ __functor = self: x: x; })",
            ],
            'P' => &[
                "(x: true)",
                "(x: false)",
                "(x: x == 1)",
                "builtins.isString",
                "(x: x != null)",
                "builtins.isAttrs",
                "(x: x < 2)",
            ],
            'r' => &[
                "\"a\"",
                "\"(a)(b)?\"",
                "\"[a-c]+\"",
                "\"([^,]*),(.*)\"",
                "\"^a|b$\"",
                "\"(.*)-([0-9.]+)\"",
                "\"[[:space:]]*\"",
                "\"a{2,3}\"",
                "\"\"",
                "\"()\"",
                "\"(a|ab)(c|bcd)*\"",
                "\"[[:alpha:]_][[:alnum:]_]*\"",
                "\"x*\"",
                "\"\\\\.\"",
                "\"[\"",
                "\"[]a]\"",
                "\"(foo)?(bar)*\"",
                "\"a**\"",
                "\"(\"",
                "\"[^]\"",
                "\"a{1\"",
                "\"o(.)\"",
                "\"l|o\"",
                "\" \"",
            ],
            'v' => &[
                "\"1.2.3\"",
                "\"1.10\"",
                "\"2.0pre1\"",
                "\"\"",
                "\"1-a\"",
                "\"0.9.z\"",
                "\"foo-1.2\"",
                "\"a-b-3\"",
                "\"1..2\"",
                "\"pre\"",
            ],
            'j' => &[
                "''{\"a\": [1, 2.5, null, true, \"x\\n\\u00e4\"]}''",
                "\"[]\"",
                "\"1\"",
                "\"-0\"",
                "\"1e3\"",
                "\"{}\"",
                "\"[1,]\"",
                "\"\\\"\\\\ud83d\\\\ude00\\\"\"",
                "\"9223372036854775808\"",
                "\"-9223372036854775808\"",
                "\"nul\"",
                "\"0.1e-5\"",
                "''{\"a\":1,\"a\":2}''",
                "\" 12 \"",
                "\"1 2\"",
                "''[1.0, 1.5e300, 100000000000000000000]''",
                "\"\"",
                "\"01\"",
            ],
            't' => &[
                "''a = 1''",
                "''a.b = \"x\"''",
                "''[t]\nx = [1, 2]''",
                "''f = 1.5\nb = true''",
                "''[[l]]\na = 1\n[[l]]\na = 2''",
                "''a = ''",
                "''s = \"\\u00e4\"''",
                "''n = -7\nh = 0xff''",
                "''i = { a = 1, b = [] }''",
                "''e = 1e3\nf = 1_000''",
                "''m = \"\"\"\nx\"\"\"''",
                "''l = 'lit'ral'''",
                "''a = 1\na = 2''",
            ],
            'k' => &["\"a\"", "\"b\"", "\"foo\"", "\"none\"", "\"x\"", "\"\""],
            _ => &["null", "1", "\"x\"", "true", "{}", "[]"],
        };
        (*self.random.of(choices)).to_owned()
    }
}
