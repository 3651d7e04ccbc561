//! Errors shown with their source lines.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str};

use crate::source::{FileId, Origin, Part, Source, Sources, Span, ends_line};

/// An error (or warning) with the places that explain it. The evaluator uses it for its trail of calls as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What went wrong, in one line (more lines are allowed).
    pub title: String,
    /// Where it went wrong.
    pub primary: Option<Span>,
    /// Text at the caret of the primary place; may be empty.
    pub label: String,
    /// Further places, in the order in which a reader needs them: earlier definitions, callers.
    pub notes: Vec<(Option<Span>, String)>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Report {
    /// A report with a place and nothing more.
    pub fn new(title: impl Into<String>, primary: Span) -> Self {
        Self {
            title: title.into(),
            primary: Some(primary),
            label: String::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// With text at the caret.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With one more place.
    pub fn note(mut self, place: Span, text: impl Into<String>) -> Self {
        self.notes.push((Some(place), text.into()));
        self
    }

    /// With advice.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The report as text for a terminal: file, line, column, source line, caret, notes. No line break at the end.
pub fn render(sources: &Sources, report: &Report, colour: bool) -> String {
    let title = if report.title.contains('\x1b') {
        Level::ERROR.secondary_title(coloured(&report.title, colour))
    } else {
        Level::ERROR.primary_title(report.title.as_str())
    };
    let mut groups = vec![match report.primary {
        Some(span) => title.element(snippet(sources, span, &report.label)),
        None => Group::with_title(title),
    }];
    for (span, text) in &report.notes {
        let title = Level::NOTE.secondary_title(coloured(text, colour));
        groups.push(match span {
            Some(span) => title.element(snippet(sources, *span, "")),
            None => Group::with_title(title),
        });
    }
    if let Some(help) = &report.help {
        groups.push(Group::with_title(Level::HELP.secondary_title(coloured(help, colour))));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&groups)
}

/// A text that evaluated code made, for a terminal: of its control sequences only those for colours are kept, and only
/// where `colour` says so. Control characters are shown.
pub fn coloured(text: &str, colour: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\x1b') {
        out += &normalize_untrusted_str(&rest[..at]);
        rest = &rest[at..];
        let parameters = rest.strip_prefix("\x1b[").map(|inside| {
            inside.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count()
        });
        let sequence = match parameters {
            Some(count) if rest.as_bytes().get(2 + count) == Some(&b'm') => &rest[..count + 3],
            _ => {
                out += &normalize_untrusted_str(&rest[..1]);
                rest = &rest[1..];
                continue;
            }
        };
        if colour {
            out += sequence;
        }
        rest = &rest[sequence.len()..];
    }
    out += &normalize_untrusted_str(rest);
    out
}

/// The first line of a span. Only that line is handed on: files are large and trails are long.
fn snippet<'t>(
    sources: &Sources,
    span: Span,
    label: &'t str,
) -> Snippet<'t, annotate_snippets::Annotation<'t>> {
    let part = sources.part(span).unwrap_or(Part { file: FileId(0), start: 0, end: 0 });
    let Source { origin, text, .. } = sources.get(part.file);
    let start = (part.start as usize).min(text.len());
    let line_start = (0..start).rev().find(|at| ends_line(&text, *at)).map_or(0, |at| at + 1);
    let line_end = (start..text.len()).find(|at| ends_line(&text, *at)).unwrap_or(text.len());
    let end = (part.end as usize).clamp(start, line_end);
    let mut line = String::from_utf8_lossy(&text[line_start..start]).into_owned();
    let from = line.len();
    line += &String::from_utf8_lossy(&text[start..end]);
    let to = line.len();
    line += &String::from_utf8_lossy(&text[end..line_end]);
    let (number, _) = sources.line_column(part.file, part.start);
    let path = match origin {
        Origin::Path(path) => String::from_utf8_lossy(&path).into_owned(),
        Origin::Text(label) => label.to_string(),
    };
    let annotation = AnnotationKind::Primary.span(from..to);
    let annotation = if label.is_empty() { annotation } else { annotation.label(label) };
    Snippet::source(line).line_start(number as usize).path(path).annotation(annotation)
}
