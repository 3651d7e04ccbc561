//! Errors for people.

use nix_syntax::{Report, Warning, render};

use crate::Evaluator;
use crate::error::{Error, ErrorKind};
use crate::source::{NO_POS, is_none, locate};

/// How many steps of the trail are shown at each end.
const SHOWN: usize = 3;

impl<'a> Evaluator<'a> {
    /// Fill in the report of an error that leaves the evaluator.
    pub(crate) fn finish(&self, mut error: Error) -> Error {
        if error.has_report() {
            return error;
        }
        let place = (!is_none(error.pos())).then(|| self.newest(error.pos()));
        let trace = error.trace();
        let mut notes = Vec::new();
        for (index, frame) in trace.iter().enumerate() {
            if !self.whole_trace.get() && index >= SHOWN && index + SHOWN < trace.len() {
                if index == SHOWN {
                    let left_out = trace.len() - 2 * SHOWN;
                    notes.push((None, format!("… {left_out} more steps …")));
                }
                continue;
            }
            let place = (!is_none(frame.pos)).then(|| self.newest(frame.pos));
            notes.push((place, format!("… {}", frame.message)));
        }
        let report = Report {
            title: error.message().to_owned(),
            primary: place,
            label: String::new(),
            notes,
            help: error.help().map(str::to_owned),
        };
        let text = render(&self.sources, &report, self.settings.colour);
        let location = place.and_then(|pos| locate(&self.sources, pos));
        error.set_report(location, text);
        error
    }

    /// What is said of something that a text may say but better would not.
    pub(crate) fn warning(&self, warning: &Warning) -> String {
        let text = &warning.text;
        let place = locate(&self.sources, warning.span)
            .map(|place| format!("{}:{}:{}", place.file, place.line, place.column));
        match place {
            Some(place) if warning.place_first => format!("warning: at {place}: {text}"),
            Some(place) => format!("warning: {text}\n         at {place}"),
            None => format!("warning: {text}"),
        }
    }

    pub(crate) fn syntax_error(&self, reports: &[Report]) -> Error {
        let first = reports.first();
        let title = first.map_or("syntax error", |report| report.title.as_str());
        let pos = first.and_then(|report| report.primary).unwrap_or(NO_POS);
        let kind = if title.starts_with("undefined variable") {
            ErrorKind::UndefinedVar
        } else {
            ErrorKind::Syntax
        };
        let mut error = Error::new(kind, title, pos);
        let text: Vec<String> = reports
            .iter()
            .map(|report| render(&self.sources, report, self.settings.colour))
            .collect();
        error.set_report(locate(&self.sources, pos), text.join("\n"));
        error
    }
}
