//! What a client asks `nix-store --serve` for.

use crate::StorePath;
use crate::wire::{BasicDerivation, Reader, Result, UnkeyedPathInfo, Writer, malformed};
use std::collections::BTreeSet;
use std::io::{Read, Write};

/// How builds are done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BuildOptions {
    /// Seconds a build may write nothing; 0 is for ever.
    pub max_silent: u64,
    /// Seconds a build may run; 0 is for ever.
    pub timeout: u64,
    /// Bytes a build may write; 0 is as many as it likes.
    pub max_log: u64,
    /// Keep what a failed build left.
    pub keep_failed: bool,
}

/// One request. There are no messages beside the answers: what the server has to say goes to its
/// standard error, and what fails ends the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Which of the paths are valid. Answer: paths.
    QueryValidPaths {
        /// Keep them as long as the connection lasts.
        lock: bool,
        /// Substitute those that are not.
        substitute: bool,
        /// The paths.
        paths: BTreeSet<StorePath>,
    },
    /// What is known about paths. Answer: [`super::read_path_info`].
    QueryPathInfos(BTreeSet<StorePath>),
    /// The archive of a path. Answer: the archive.
    DumpStorePath(StorePath),
    /// Add what follows, a stream of [`crate::export`]. Answer: 1.
    ImportPaths,
    /// Answer: a stream of [`crate::export`].
    ExportPaths(BTreeSet<StorePath>),
    /// Build or substitute (`/nix/store/….drv!out,dev`). Answer: 0, or the status and why.
    BuildPaths {
        /// What to make valid.
        targets: Vec<String>,
        /// How.
        options: BuildOptions,
    },
    /// The paths and everything they refer to. Answer: paths.
    QueryClosure {
        /// With the outputs of derivations.
        outputs: bool,
        /// The paths.
        paths: BTreeSet<StorePath>,
    },
    /// Build a derivation whose inputs are there. Answer: a result without processor times.
    BuildDerivation {
        /// What it is called.
        path: StorePath,
        /// What to build.
        derivation: BasicDerivation,
        /// How.
        options: BuildOptions,
    },
    /// Add a path; its archive follows. Answer: 1.
    AddToStoreNar {
        /// The path.
        path: StorePath,
        /// What it is; the size is that of the archive.
        info: UnkeyedPathInfo,
    },
}

impl Request {
    /// Reads one; nothing where the client has ended the connection in good order.
    ///
    /// # Errors
    /// When it makes no sense, is unknown, or the connection breaks.
    pub fn read(from: &mut Reader<impl Read>) -> Result<Option<Self>> {
        from.begin();
        let Some(command) = from.number_or_end()? else { return Ok(None) };
        Ok(Some(match command {
            1 => Self::QueryValidPaths {
                lock: from.bool()?,
                substitute: from.bool()?,
                paths: from.paths()?,
            },
            2 => Self::QueryPathInfos(from.paths()?),
            3 => Self::DumpStorePath(from.path()?),
            4 => Self::ImportPaths,
            5 => {
                from.number()?; // once whether to sign
                Self::ExportPaths(from.paths()?)
            }
            6 => Self::BuildPaths { targets: from.strings()?, options: read_options(from)? },
            7 => Self::QueryClosure { outputs: from.bool()?, paths: from.paths()? },
            8 => Self::BuildDerivation {
                path: from.path()?,
                derivation: from.basic_derivation()?,
                options: read_options(from)?,
            },
            9 => Self::AddToStoreNar { path: from.path()?, info: from.path_info()? },
            other => return Err(malformed(format!("command {other} is unknown"))),
        }))
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn write(&self, to: &mut Writer<impl Write>) -> Result<()> {
        match self {
            Self::QueryValidPaths { lock, substitute, paths } => {
                to.number(1)?;
                to.bool(*lock)?;
                to.bool(*substitute)?;
                to.paths(paths)
            }
            Self::QueryPathInfos(paths) => {
                to.number(2)?;
                to.paths(paths)
            }
            Self::DumpStorePath(path) => {
                to.number(3)?;
                to.path(path)
            }
            Self::ImportPaths => to.number(4),
            Self::ExportPaths(paths) => {
                to.number(5)?;
                to.number(0)?;
                to.paths(paths)
            }
            Self::BuildPaths { targets, options } => {
                to.number(6)?;
                to.strings(targets)?;
                write_options(to, *options)
            }
            Self::QueryClosure { outputs, paths } => {
                to.number(7)?;
                to.bool(*outputs)?;
                to.paths(paths)
            }
            Self::BuildDerivation { path, derivation, options } => {
                to.number(8)?;
                to.path(path)?;
                to.basic_derivation(derivation)?;
                write_options(to, *options)
            }
            Self::AddToStoreNar { path, info } => {
                to.number(9)?;
                to.path(path)?;
                to.path_info(info)
            }
        }
    }
}

fn read_options(from: &mut Reader<impl Read>) -> Result<BuildOptions> {
    let (max_silent, timeout, max_log) = (from.number()?, from.number()?, from.number()?);
    if from.number()? != 0 {
        return Err(malformed("to build several times is not supported"));
    }
    from.number()?; // once whether all of them must come out the same
    Ok(BuildOptions { max_silent, timeout, max_log, keep_failed: from.bool()? })
}

fn write_options(to: &mut Writer<impl Write>, options: BuildOptions) -> Result<()> {
    to.number(options.max_silent)?;
    to.number(options.timeout)?;
    to.number(options.max_log)?;
    to.number(0)?;
    to.number(0)?;
    to.bool(options.keep_failed)
}
