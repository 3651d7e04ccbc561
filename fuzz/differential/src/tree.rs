//! A program as a tree of texts: made to be made smaller.

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub kind: char,
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Node(Node),
}

impl Node {
    pub fn text(kind: char, text: impl Into<String>) -> Self {
        Self { kind, parts: vec![Part::Text(text.into())] }
    }

    pub fn render(&self) -> String {
        let mut out = String::new();
        self.render_into(&mut out);
        out
    }

    fn render_into(&self, out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Node(node) => node.render_into(out),
            }
        }
    }

    fn children(&self) -> impl Iterator<Item = &Node> {
        self.parts.iter().filter_map(|part| match part {
            Part::Node(node) => Some(node),
            Part::Text(_) => None,
        })
    }

    fn size(&self) -> usize {
        1 + self.children().map(Node::size).sum::<usize>()
    }

    /// Every tree that has one node replaced by something smaller, the largest steps first.
    pub fn smaller(&self) -> Vec<Node> {
        let mut found = Vec::new();
        for child in self.children() {
            found.push(child.clone());
        }
        let plain: &[&str] = match self.kind {
            'i' | 'n' => &["1", "0"],
            'f' => &["1.5"],
            'b' => &["true"],
            's' | 'c' | 'k' => &["\"\"", "\"a\""],
            'l' | 'I' | 'S' | 'L' => &["[]"],
            'a' | 'A' => &["{}"],
            'u' | 'U' | 'P' => &["(x: x)"],
            _ => &["1", "{}", "[]"],
        };
        for text in plain {
            let smaller = Node::text(self.kind, *text);
            if smaller.render().len() < self.render().len() {
                found.push(smaller);
            }
        }
        for (index, part) in self.parts.iter().enumerate() {
            let Part::Node(node) = part else { continue };
            for smaller in node.smaller() {
                let mut copy = self.clone();
                copy.parts[index] = Part::Node(smaller);
                found.push(copy);
            }
        }
        found.sort_by_key(Node::size);
        found
    }
}
