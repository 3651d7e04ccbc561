//! Files into a machine and out of it, as tar streams.
//!
//! Each side is a process of its own: it has the host's files before it, or those of a machine
//! whose namespaces it has entered, and packs or unpacks there. So a path is looked up by the
//! machine's own root, owners are the machine's, and a stream can be read on one side while the
//! other writes. A virtual machine packs and unpacks itself, and its guest channel carries the stream.

mod pack;
mod side;
mod unpack;

use side::Container;
pub use side::{Host, Standard};

use crate::error::RunError;
use hc_spec::machine::Kind;
use std::io::{Read, Write};
use std::path::Path;

/// Where files are copied from and to.
pub trait Files {
    /// The file or tree at `path`, as a tar stream with `path`'s last component on top. A `path`
    /// that ends in `/.` or `/` stands for the contents: `.` is on top.
    ///
    /// # Errors
    /// When nothing can be started; what is wrong with the path shows in the stream's end.
    fn pack(&self, path: &Path) -> Result<Box<dyn Source>, RunError>;

    /// Unpacks a tar stream as cp(1) would: into `path` when that is a directory, else as `path`.
    /// A `path` that ends in `/` has to be a directory.
    ///
    /// # Errors
    /// As for [`Files::pack`].
    fn unpack(&self, path: &Path) -> Result<Box<dyn Sink>, RunError>;
}

/// The files of machine `name`, which is found in `run_dir`. The caller must have one thread for as long
/// as it starts streams.
///
/// # Errors
/// When it does not run, or nobody inside of it can be asked.
pub fn machine(
    run_dir: &Path,
    name: &str,
    store: Option<&Path>,
) -> Result<Box<dyn Files>, RunError> {
    match crate::exec::known(run_dir, name, store)?.1.kind {
        Kind::Container => Ok(Box::new(Container::find(run_dir, name, store)?)),
        Kind::Microvm => Ok(Box::new(crate::vm::copy::Guest::new(run_dir, name))),
        Kind::Q35 => {
            let problem =
                format!("{name}: there is no hc inside of a q35: use scp, or `hc screen`");
            Err(RunError::Copy { problem })
        }
    }
}

/// A tar stream being made.
pub trait Source: Read {
    /// To be called at the end of the stream.
    ///
    /// # Errors
    /// When the stream is not all there is.
    fn finish(self: Box<Self>) -> Result<Done, RunError>;
}

/// A tar stream being unpacked.
pub trait Sink: Write {
    /// To be called when all was written, or writing failed: then this says why.
    ///
    /// # Errors
    /// When not everything was unpacked.
    fn finish(self: Box<Self>) -> Result<Done, RunError>;
}

/// What was left out, for people to know.
pub type Done = Vec<String>;

/// Pours one side into the other, and gives what both left out.
///
/// # Errors
/// What either side says went wrong; the receiving one's word counts more, because the sending one
/// then only knows that nobody listens any more.
pub fn pour(mut from: Box<dyn Source>, mut to: Box<dyn Sink>) -> Result<Done, RunError> {
    let mut bytes = vec![0; 128 << 10];
    let mut broken = None;
    loop {
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(length) => {
                if let Err(error) = to.write_all(&bytes[..length]) {
                    broken = Some(error);
                    break;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    if let Some(error) = broken {
        drop(from);
        to.finish()?;
        return Err(RunError::Copy { problem: error.to_string() });
    }
    // A stream that ends early would look like a short archive to the other side.
    let mut done = from.finish()?;
    done.extend(to.finish()?);
    Ok(done)
}

/// Whether a path stands for what is in the directory, not for the directory.
fn means_contents(path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let text = path.as_os_str().as_bytes();
    [b".".as_slice(), b"..", b""].contains(&text)
        || [b"/".as_slice(), b"/.", b"/.."].iter().any(|end| text.ends_with(end))
}

/// Whose files the packed ones are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// As they are, in the numbers of the side they are on.
    Kept,
    /// Root's in a machine, whoever copies on the host.
    Own,
}

#[cfg(test)]
mod tests;
