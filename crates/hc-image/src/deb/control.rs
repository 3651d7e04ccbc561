//! Paragraphs of `Field: value` lines, as in control files and package lists.

/// One paragraph: fields in their order, values with their continuation lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paragraph<'a> {
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Paragraph<'a> {
    /// The value of a field, whatever the case of its name.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&'a str> {
        self.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(field)).map(|(_, v)| *v)
    }
}

/// The paragraphs of a text. Comments and lines that are no field are passed over.
pub fn paragraphs(text: &str) -> impl Iterator<Item = Paragraph<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut found = Paragraph::default();
        while !rest.is_empty() {
            let line = line(rest);
            if line.trim().is_empty() {
                rest = &rest[line.len()..];
                if found.fields.is_empty() {
                    continue;
                }
                return Some(found);
            }
            let mut end = line.len();
            while rest[end..].starts_with([' ', '\t'])
                && !self::line(&rest[end..]).trim().is_empty()
            {
                end += self::line(&rest[end..]).len();
            }
            let (whole, after) = rest.split_at(end);
            rest = after;
            if let Some((name, value)) = whole.split_once(':')
                && !name.starts_with(['#', ' ', '\t'])
            {
                found.fields.push((name, value.trim()));
            }
        }
        (!found.fields.is_empty()).then_some(found)
    })
}

/// The first line with its end.
fn line(text: &str) -> &str {
    text.find('\n').map_or(text, |end| &text[..=end])
}
