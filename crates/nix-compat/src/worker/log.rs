//! What a daemon says while it works, before its answer.

use crate::wire::{Reader, Result, Writer, malformed};
use std::io::{Read, Write};

const NEXT: u64 = 0x6f6c_6d67;
const LAST: u64 = 0x616c_7473;
const ERROR: u64 = 0x6378_7470;
const START: u64 = 0x5354_5254;
const STOP: u64 = 0x5354_4f50;
const RESULT: u64 = 0x5253_4c54;

/// A value that goes with an activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
}

/// One thing a daemon says while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A line for the user.
    Line(String),
    /// An activity begins.
    Start {
        /// Its number.
        id: u64,
        /// How detailed it is: 0 (error) to 7 (vomit).
        level: u64,
        /// What kind it is: 105 is a build.
        kind: u64,
        /// What it is, for the user.
        text: String,
        /// What it is about: of a build, the derivation first.
        fields: Vec<Field>,
        /// The activity it is part of.
        parent: u64,
    },
    /// An activity has ended.
    Stop {
        /// Its number.
        id: u64,
    },
    /// An activity has something to show.
    Result {
        /// The activity's number.
        id: u64,
        /// What kind it is: 101 is a line of a build's log.
        kind: u64,
        /// What it is.
        fields: Vec<Field>,
    },
    /// It failed: no answer follows.
    Error(String),
    /// It is done: the answer follows.
    Last,
}

impl Message {
    /// The kind of [`Message::Start`] that is a build.
    pub const BUILD: u64 = 105;
    /// The kind of [`Message::Result`] that is a line of a build's log.
    pub const LOG_LINE: u64 = 101;

    /// Reads one.
    ///
    /// # Errors
    /// When it makes no sense, or the connection ends.
    pub fn read(from: &mut Reader<impl Read>) -> Result<Self> {
        from.begin();
        Ok(match from.number()? {
            NEXT => Self::Line(from.text()?),
            LAST => Self::Last,
            ERROR => Self::Error(read_error(from)?),
            START => Self::Start {
                id: from.number()?,
                level: from.number()?,
                kind: from.number()?,
                text: from.text()?,
                fields: read_fields(from)?,
                parent: from.number()?,
            },
            STOP => Self::Stop { id: from.number()? },
            RESULT => Self::Result {
                id: from.number()?,
                kind: from.number()?,
                fields: read_fields(from)?,
            },
            other => return Err(malformed(format!("{other:#x} is no message of a daemon"))),
        })
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn write(&self, to: &mut Writer<impl Write>) -> Result<()> {
        match self {
            Self::Line(text) => {
                to.number(NEXT)?;
                to.bytes(text)
            }
            Self::Last => to.number(LAST),
            Self::Error(text) => {
                to.number(ERROR)?;
                to.bytes("Error")?;
                to.number(0)?; // level: error
                to.bytes("Error")?; // its name: nobody reads it
                to.bytes(text)?;
                to.number(0)?; // no position
                to.number(0) // no trace
            }
            Self::Start { id, level, kind, text, fields, parent } => {
                to.number(START)?;
                to.number(*id)?;
                to.number(*level)?;
                to.number(*kind)?;
                to.bytes(text)?;
                write_fields(to, fields)?;
                to.number(*parent)
            }
            Self::Stop { id } => {
                to.number(STOP)?;
                to.number(*id)
            }
            Self::Result { id, kind, fields } => {
                to.number(RESULT)?;
                to.number(*id)?;
                to.number(*kind)?;
                write_fields(to, fields)
            }
        }
    }
}

fn read_error(from: &mut Reader<impl Read>) -> Result<String> {
    from.text()?; // the word "Error"
    from.number()?; // how bad it is
    from.text()?; // a name
    let text = from.text()?;
    let position = |from: &mut Reader<_>| match from.number()? {
        0 => Ok(()),
        _ => Err(malformed("an error has a position")),
    };
    position(from)?;
    from.many(|from| {
        position(from)?;
        from.text()
    })?;
    Ok(text)
}

fn read_fields(from: &mut Reader<impl Read>) -> Result<Vec<Field>> {
    from.many(|from| match from.number()? {
        0 => from.number().map(Field::Number),
        1 => from.text().map(Field::Text),
        other => Err(malformed(format!("{other} is no kind of field"))),
    })
}

fn write_fields(to: &mut Writer<impl Write>, fields: &[Field]) -> Result<()> {
    to.many(fields, |to, field| match field {
        Field::Number(number) => {
            to.number(0)?;
            to.number(*number)
        }
        Field::Text(text) => {
            to.number(1)?;
            to.bytes(text)
        }
    })
}
