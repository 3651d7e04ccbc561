use std::path::{Path, PathBuf};

/// Why an image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// A verb, such as "read".
        action: &'static str,
        /// The path it was about.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A write through `hc-fs` failed.
    #[error(transparent)]
    Fs(#[from] hc_fs::Error),
    /// Something in a file tree has no place in an image.
    #[error("{path}: {why}")]
    Tree {
        /// The path in the image.
        path: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// An archive or image is damaged, hostile, or has something that no image can hold.
    #[error("{archive}: {}{why}", entry.as_ref().map(|e| format!("{}: ", e.escape_default())).unwrap_or_default())]
    Unpack {
        /// The archive's name, with the part of it in question.
        archive: String,
        /// The path of the entry in it, where there is one.
        entry: Option<String>,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A package is damaged or hostile.
    #[error("package {package}: {why}")]
    Package {
        /// The package's file name, or its name.
        package: String,
        /// What is wrong.
        why: String,
    },
    /// The archive's lists are not what they should be.
    #[error("{url}: {why}")]
    Archive {
        /// Where it came from.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// The wanted packages do not fit together.
    #[error("cannot resolve the packages:\n{}", .0.join("\n"))]
    Resolve(
        /// One line for each thing that is missing or in conflict.
        Vec<String>,
    ),
    /// A program that ran inside the new root file system failed.
    #[error("{command} failed in the new root file system ({status}); its last output:\n{output}")]
    Command {
        /// The command line.
        command: String,
        /// The exit status.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// This process could not give up what it does not need.
    #[error("cannot {what} before an archive is read: {why}")]
    Confine {
        /// A verb and its object.
        what: String,
        /// What the system said.
        why: String,
    },
    /// What a confined process refused, in its words.
    #[error("{0}")]
    Child(String),
    /// A disk, kernel or initrd is damaged, hostile, or of a kind that is not read.
    #[error("{what}: at byte {at}: {why}")]
    Input {
        /// The file's name, and what of it.
        what: String,
        /// Where in it, from its beginning.
        at: u64,
        /// What is wrong.
        why: String,
    },
    /// The builder was called wrongly.
    #[error("the builder's attribute `{name}` {why}")]
    Attribute {
        /// The derivation's attribute.
        name: String,
        /// What is wrong.
        why: String,
    },
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub(crate) trait Context<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> Context<T> for std::result::Result<T, E> {
    fn on(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io { action, path: path.into(), source: source.into() })
    }
}
