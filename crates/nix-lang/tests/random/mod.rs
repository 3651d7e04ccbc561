//! Random projects of a few files, and random edits of them.

/// A small generator of numbers: a seed makes a project and its edits again.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % count
    }

    fn pick<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }
}

/// A piece of an expression: text, or an expression with the variables it sees.
#[derive(Clone)]
enum Piece {
    Text(String),
    Expr(Tree),
}

/// An expression that can be edited anywhere.
#[derive(Clone)]
pub struct Tree {
    scope: Vec<String>,
    pieces: Vec<Piece>,
}

const NAMES: &[&str] = &["a", "b", "c", "d", "e"];

impl Tree {
    pub fn new(dice: &mut Dice, scope: &[String], files: usize, depth: usize) -> Self {
        let mut tree = Tree { scope: scope.to_vec(), pieces: Vec::new() };
        tree.fill(dice, files, depth);
        tree
    }

    fn text(&mut self, text: impl Into<String>) {
        self.pieces.push(Piece::Text(text.into()));
    }

    fn expr(&mut self, dice: &mut Dice, extra: &[&str], files: usize, depth: usize) {
        let mut scope = self.scope.clone();
        scope.extend(extra.iter().map(|name| (*name).to_owned()));
        self.pieces.push(Piece::Expr(Tree::new(dice, &scope, files, depth)));
    }

    fn leaf(&mut self, dice: &mut Dice, files: usize) {
        let roll = dice.below(10);
        if roll < 5 && !self.scope.is_empty() {
            let name = self.scope[dice.below(self.scope.len())].clone();
            self.text(name);
        } else if roll < 7 {
            let text = dice.pick(&["1", "2", "7", "\"x\"", "\"y\"", "true", "null", "[ ]", "{ }"]);
            self.text(text);
        } else if roll < 9 && files > 0 {
            let file = dice.below(files);
            self.text(format!("(import ./f{file}.nix)"));
        } else {
            let text = dice.pick(&["(throw \"t\")", "(builtins.readFile ./text)", "./f0.nix"]);
            self.text(text);
        }
    }

    fn fill(&mut self, dice: &mut Dice, files: usize, depth: usize) {
        if depth == 0 {
            return self.leaf(dice, files);
        }
        let (d, f) = (depth - 1, files);
        let (x, y) = (dice.pick(NAMES), dice.pick(NAMES));
        match dice.below(18) {
            0 | 1 => self.leaf(dice, files),
            2 => {
                self.text(format!("(let {x} = "));
                self.expr(dice, &[x], f, d);
                if x != y {
                    self.text(format!("; {y} = "));
                    self.expr(dice, &[x, y], f, d);
                }
                self.text("; in ");
                self.expr(dice, &[x], f, d);
                self.text(")");
            }
            3 | 4 => {
                let rec = dice.below(3) == 0;
                let extra: &[&str] = if rec { &[x] } else { &[] };
                self.text(if rec { "rec { " } else { "{ " });
                self.text(format!("{x} = "));
                self.expr(dice, extra, f, d);
                if x != y {
                    self.text(format!(";\n  {y} = "));
                    self.expr(dice, extra, f, d);
                }
                self.text("; }");
            }
            5 => {
                self.text(format!("(({x}: "));
                self.expr(dice, &[x], f, d);
                self.text(") ");
                self.expr(dice, &[], f, d);
                self.text(")");
            }
            6 => {
                self.text(format!("(({{ {x} ? "));
                self.expr(dice, &[], f, d);
                self.text(", ... }: ");
                self.expr(dice, &[x], f, d);
                self.text(") { ");
                if dice.below(2) == 0 {
                    self.text(format!("{x} = "));
                    self.expr(dice, &[], f, d);
                    self.text(";");
                }
                self.text(" })");
            }
            7 => {
                self.text("(");
                self.expr(dice, &[], f, d);
                self.text(format!(").{x} or "));
                self.expr(dice, &[], f, 0);
            }
            8 => {
                self.text("(if builtins.isAttrs ");
                self.expr(dice, &[], f, d);
                self.text(" then ");
                self.expr(dice, &[], f, d);
                self.text(" else ");
                self.expr(dice, &[], f, d);
                self.text(")");
            }
            9 => {
                self.text("[ ");
                for _ in 0..dice.below(4) {
                    self.expr(dice, &[], f, 0);
                    self.text(" ");
                }
                self.text("]");
            }
            10 => {
                self.text(format!("(builtins.mapAttrs (n: {x}: "));
                self.expr(dice, &[x, "n"], f, d);
                self.text(") { p = ");
                self.expr(dice, &[], f, d);
                self.text("; q = ");
                self.expr(dice, &[], f, d);
                self.text("; })");
            }
            11 => {
                self.text(format!("(map ({x}: "));
                self.expr(dice, &[x], f, d);
                self.text(") [ ");
                for _ in 0..dice.below(4) {
                    self.expr(dice, &[], f, 0);
                    self.text(" ");
                }
                self.text("])");
            }
            12 => {
                self.text("(builtins.tryEval ");
                self.expr(dice, &[], f, d);
                self.text(").value");
            }
            13 => {
                self.text("({ ");
                self.text(format!("{x} = "));
                self.expr(dice, &[], f, d);
                self.text("; } // { ");
                self.text(format!("{y} = "));
                self.expr(dice, &[], f, d);
                self.text("; })");
            }
            14 => {
                self.text("(with { ");
                self.text(format!("{x} = "));
                self.expr(dice, &[], f, d);
                self.text(format!("; }}; [ {x} "));
                self.expr(dice, &[], f, 0);
                self.text(" ])");
            }
            15 => {
                self.text(format!("(builtins.foldl' ({x}: {y}2: if builtins.isInt {x} && builtins.isInt {y}2 then {x} + {y}2 else "));
                self.expr(dice, &[x], f, d);
                self.text(") 0 (builtins.genList (i: i + 1) 3))");
            }
            16 => {
                self.text(format!("(builtins.unsafeGetAttrPos \"{x}\" {{ {x} = 1; }}).line"));
            }
            _ => {
                self.text(format!("(let inherit (rec {{ {x} = "));
                self.expr(dice, &[x], f, d);
                self.text(format!("; }}) {x}; in "));
                self.expr(dice, &[x], f, d);
                self.text(")");
            }
        }
    }

    pub fn render(&self, out: &mut String) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Expr(tree) => {
                    out.push('(');
                    tree.render(out);
                    out.push(')');
                }
            }
        }
    }

    fn count(&self) -> usize {
        1 + self.children().map(Tree::count).sum::<usize>()
    }

    fn children(&self) -> impl Iterator<Item = &Tree> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Expr(tree) => Some(tree),
            Piece::Text(_) => None,
        })
    }

    fn at(&mut self, index: &mut usize) -> Option<&mut Tree> {
        if *index == 0 {
            return Some(self);
        }
        *index -= 1;
        for piece in &mut self.pieces {
            if let Piece::Expr(tree) = piece
                && let Some(found) = tree.at(index)
            {
                return Some(found);
            }
        }
        None
    }

    /// Change one expression in it: another one, a remark, or a line more.
    pub fn edit(&mut self, dice: &mut Dice, files: usize) {
        let mut index = dice.below(self.count());
        let Some(tree) = self.at(&mut index) else { return };
        match dice.below(6) {
            0 => tree.pieces.insert(0, Piece::Text("/* remark */ ".to_owned())),
            1 => tree.pieces.insert(0, Piece::Text("\n".to_owned())),
            2 => {
                let old = Piece::Expr(tree.clone());
                let mut new = Tree { scope: tree.scope.clone(), pieces: Vec::new() };
                new.text("{ a = ");
                new.pieces.push(old);
                new.text("; }");
                *tree = new;
            }
            _ => *tree = Tree::new(dice, &tree.scope.clone(), files, 2),
        }
    }
}
