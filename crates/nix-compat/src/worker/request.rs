//! What a client asks a daemon for.

use crate::StorePath;
use crate::hash::CAHash;
use crate::wire::{
    BasicDerivation, Reader, Realisation, RealisationId, Result, UnkeyedPathInfo, Writer,
    malformed, parse_ca,
};
use std::collections::BTreeSet;
use std::io::{Read, Write};

/// One request. What the last field of some of them says "follows" comes after it as a framed
/// stream ([`crate::wire::FramedReader`]).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Whether a path is valid. Answer: a truth value.
    IsValidPath(StorePath),
    /// What refers to a path. Answer: paths.
    QueryReferrers(StorePath),
    /// Build or substitute (`/nix/store/….drv!out,dev`). Answer: 1.
    BuildPaths {
        /// What to make valid.
        targets: Vec<String>,
        /// 0 as usual, 1 to repair, 2 to check.
        mode: u64,
    },
    /// [`Request::BuildPaths`], answered by (target, result) pairs.
    BuildPathsWithResults {
        /// What to make valid.
        targets: Vec<String>,
        /// 0 as usual, 1 to repair, 2 to check.
        mode: u64,
    },
    /// Make a path valid by substitution. Answer: 1.
    EnsurePath(StorePath),
    /// Keep a path as long as the connection lasts. Answer: 1.
    AddTempRoot(StorePath),
    /// Keep what a link on the daemon's host leads to. Answer: 1.
    AddIndirectRoot(Vec<u8>),
    /// All roots. Answer: (link, path) pairs.
    FindRoots,
    /// How the client wants it. Answer: nothing.
    SetOptions {
        /// Keep what a failed build left.
        keep_failed: bool,
        /// Build on after a failure.
        keep_going: bool,
        /// How many builds at once.
        jobs: u64,
        /// Processors for one build; 0 is all.
        cores: u64,
        /// Whether to substitute.
        substitute: bool,
        /// Settings by name.
        settings: Vec<(String, String)>,
    },
    /// Collect. Answer: paths as strings, bytes freed, 0.
    CollectGarbage {
        /// 0: tell what lives, 1: tell what is dead, 2: delete that, 3: delete `paths`.
        action: u64,
        /// What to delete.
        paths: BTreeSet<StorePath>,
        /// Stop after so many bytes.
        max_freed: u64,
    },
    /// All valid paths. Answer: paths.
    QueryAllValidPaths,
    /// What is known about a path. Answer: a truth value, and a path's info.
    QueryPathInfo(StorePath),
    /// The path whose hash this is. Answer: a path or nothing.
    QueryPathFromHashPart(String),
    /// Which of the paths are valid. Answer: paths.
    QueryValidPaths {
        /// The paths.
        paths: BTreeSet<StorePath>,
        /// Whether to substitute those that are not.
        substitute: bool,
    },
    /// Which of the paths can be substituted. Answer: paths.
    QuerySubstitutablePaths(BTreeSet<StorePath>),
    /// The valid derivations that have the path as an output. Answer: paths.
    QueryValidDerivers(StorePath),
    /// Make files of the same contents one file. Answer: 1.
    OptimiseStore,
    /// Look for damage. Answer: whether there is some.
    VerifyStore {
        /// Hash everything.
        contents: bool,
        /// Repair what is damaged.
        repair: bool,
    },
    /// The archive of a path: follows the answer without framing.
    NarFromPath(StorePath),
    /// Add a path; its archive follows. Answer: nothing.
    AddToStoreNar {
        /// The path.
        path: StorePath,
        /// What it is.
        info: UnkeyedPathInfo,
        /// Replace what is there.
        repair: bool,
        /// Take it without a signature.
        trusted: bool,
    },
    /// Add what a stream of bytes gives; it follows. Answer: a path and its info.
    AddToStore {
        /// The name.
        name: String,
        /// `text:sha256`, `fixed:sha256`, `fixed:r:sha256`.
        method: String,
        /// What it refers to.
        references: BTreeSet<StorePath>,
        /// Replace what is there.
        repair: bool,
    },
    /// Add paths: their number and, of each, path, info and archive follow in one stream. Answer:
    /// nothing.
    AddMultipleToStore {
        /// Replace what is there.
        repair: bool,
        /// Take it without signatures.
        trusted: bool,
    },
    /// What would be built, substituted, or neither. Answer: three sets and two sizes.
    QueryMissing(Vec<String>),
    /// The outputs of a derivation. Answer: a map from names to paths or nothing.
    QueryDerivationOutputMap(StorePath),
    /// Build a derivation whose inputs are there. Answer: a result.
    BuildDerivation {
        /// What it is called.
        path: StorePath,
        /// What to build.
        derivation: BasicDerivation,
        /// 0 as usual, 1 to repair, 2 to check.
        mode: u64,
    },
    /// Add signatures to a path. Answer: 1.
    AddSignatures {
        /// The path.
        path: StorePath,
        /// `name:base64` signatures.
        signatures: Vec<String>,
    },
    /// What a substituter says of a path. Answer: a truth value, and [`super::SubstitutableInfo`].
    QuerySubstitutablePathInfo(StorePath),
    /// What substituters say of paths, which may be content addressed. Answer: the number of those
    /// that can be had, and of each the path and [`super::SubstitutableInfo`].
    QuerySubstitutablePathInfos(Vec<(StorePath, Option<CAHash>)>),
    /// Where an output of a derivation is. Answer: realisations, at most one.
    QueryRealisation(RealisationId),
    /// Remember where an output of a derivation is. Answer: nothing.
    RegisterDrvOutput(Realisation),
    /// Keep a build's log of a derivation; the log follows. Answer: 1.
    AddBuildLog(StorePath),
    /// Make a link on the daemon's host that keeps the path. Answer: the link.
    AddPermRoot {
        /// The path.
        path: StorePath,
        /// Where the link will be.
        link: Vec<u8>,
    },
}

impl Request {
    /// Reads one; nothing where the client has ended the connection in good order.
    ///
    /// # Errors
    /// When it makes no sense, is obsolete or unknown, or the connection breaks.
    pub fn read(from: &mut Reader<impl Read>) -> Result<Option<Self>> {
        from.begin();
        let Some(operation) = from.number_or_end()? else { return Ok(None) };
        Ok(Some(match operation {
            1 => Self::IsValidPath(from.path()?),
            6 => Self::QueryReferrers(from.path()?),
            7 => Self::AddToStore {
                name: from.string()?,
                method: from.string()?,
                references: from.paths()?,
                repair: from.bool()?,
            },
            9 => Self::BuildPaths { targets: from.strings()?, mode: from.number()? },
            10 => Self::EnsurePath(from.path()?),
            11 => Self::AddTempRoot(from.path()?),
            12 => Self::AddIndirectRoot(from.bytes()?),
            14 => Self::FindRoots,
            19 => read_options(from)?,
            20 => {
                let (action, paths) = (from.number()?, from.paths()?);
                if from.bool()? {
                    return Err(malformed("a collection must not ignore what lives"));
                }
                let max_freed = from.number()?;
                for _ in 0..3 {
                    from.number()?; // once options
                }
                Self::CollectGarbage { action, paths, max_freed }
            }
            21 => Self::QuerySubstitutablePathInfo(from.path()?),
            23 => Self::QueryAllValidPaths,
            26 => Self::QueryPathInfo(from.path()?),
            29 => Self::QueryPathFromHashPart(from.string()?),
            30 => Self::QuerySubstitutablePathInfos(
                from.many(|from| Ok((from.path()?, parse_ca(&from.string()?)?)))?,
            ),
            31 => Self::QueryValidPaths { paths: from.paths()?, substitute: from.bool()? },
            32 => Self::QuerySubstitutablePaths(from.paths()?),
            33 => Self::QueryValidDerivers(from.path()?),
            34 => Self::OptimiseStore,
            35 => Self::VerifyStore { contents: from.bool()?, repair: from.bool()? },
            36 => Self::BuildDerivation {
                path: from.path()?,
                derivation: from.basic_derivation()?,
                mode: from.number()?,
            },
            37 => Self::AddSignatures { path: from.path()?, signatures: from.strings()? },
            38 => Self::NarFromPath(from.path()?),
            39 => Self::AddToStoreNar {
                path: from.path()?,
                info: from.path_info()?,
                repair: from.bool()?,
                trusted: from.bool()?,
            },
            40 => Self::QueryMissing(from.strings()?),
            41 => Self::QueryDerivationOutputMap(from.path()?),
            42 => Self::RegisterDrvOutput(from.realisation()?),
            43 => Self::QueryRealisation(RealisationId::parse(&from.string()?)?),
            44 => Self::AddMultipleToStore { repair: from.bool()?, trusted: from.bool()? },
            45 => Self::AddBuildLog(from.path()?),
            46 => Self::BuildPathsWithResults { targets: from.strings()?, mode: from.number()? },
            47 => Self::AddPermRoot { path: from.path()?, link: from.bytes()? },
            other => return Err(malformed(format!("operation {other} is not supported"))),
        }))
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn write(&self, to: &mut Writer<impl Write>) -> Result<()> {
        to.number(self.operation())?;
        match self {
            Self::FindRoots | Self::QueryAllValidPaths | Self::OptimiseStore => Ok(()),
            Self::IsValidPath(path)
            | Self::QueryReferrers(path)
            | Self::EnsurePath(path)
            | Self::AddTempRoot(path)
            | Self::QueryPathInfo(path)
            | Self::QueryValidDerivers(path)
            | Self::NarFromPath(path)
            | Self::QueryDerivationOutputMap(path)
            | Self::QuerySubstitutablePathInfo(path)
            | Self::AddBuildLog(path) => to.path(path),
            Self::QuerySubstitutablePathInfos(paths) => to.many(paths, |to, (path, ca)| {
                to.path(path)?;
                to.bytes(ca.as_ref().map(CAHash::to_nix_string).unwrap_or_default())
            }),
            Self::QueryRealisation(id) => to.bytes(id.to_string()),
            Self::RegisterDrvOutput(realisation) => to.realisation(realisation),
            Self::AddPermRoot { path, link } => {
                to.path(path)?;
                to.bytes(link)
            }
            Self::BuildPaths { targets, mode } | Self::BuildPathsWithResults { targets, mode } => {
                to.strings(targets)?;
                to.number(*mode)
            }
            Self::QueryMissing(targets) => to.strings(targets),
            Self::AddIndirectRoot(link) => to.bytes(link),
            Self::SetOptions { .. } => self.write_options(to),
            Self::CollectGarbage { action, paths, max_freed } => {
                to.number(*action)?;
                to.paths(paths)?;
                to.bool(false)?;
                to.number(*max_freed)?;
                (0..3).try_for_each(|_| to.number(0))
            }
            Self::QueryPathFromHashPart(part) => to.bytes(part),
            Self::QueryValidPaths { paths, substitute } => {
                to.paths(paths)?;
                to.bool(*substitute)
            }
            Self::QuerySubstitutablePaths(paths) => to.paths(paths),
            Self::VerifyStore { contents, repair } => {
                to.bool(*contents)?;
                to.bool(*repair)
            }
            Self::AddToStoreNar { path, info, repair, trusted } => {
                to.path(path)?;
                to.path_info(info)?;
                to.bool(*repair)?;
                to.bool(*trusted)
            }
            Self::AddToStore { name, method, references, repair } => {
                to.bytes(name)?;
                to.bytes(method)?;
                to.paths(references)?;
                to.bool(*repair)
            }
            Self::AddMultipleToStore { repair, trusted } => {
                to.bool(*repair)?;
                to.bool(*trusted)
            }
            Self::BuildDerivation { path, derivation, mode } => {
                to.path(path)?;
                to.basic_derivation(derivation)?;
                to.number(*mode)
            }
            Self::AddSignatures { path, signatures } => {
                to.path(path)?;
                to.strings(signatures)
            }
        }
    }

    const fn operation(&self) -> u64 {
        match self {
            Self::IsValidPath(_) => 1,
            Self::QueryReferrers(_) => 6,
            Self::AddToStore { .. } => 7,
            Self::BuildPaths { .. } => 9,
            Self::EnsurePath(_) => 10,
            Self::AddTempRoot(_) => 11,
            Self::AddIndirectRoot(_) => 12,
            Self::FindRoots => 14,
            Self::SetOptions { .. } => 19,
            Self::CollectGarbage { .. } => 20,
            Self::QuerySubstitutablePathInfo(_) => 21,
            Self::QueryAllValidPaths => 23,
            Self::QueryPathInfo(_) => 26,
            Self::QueryPathFromHashPart(_) => 29,
            Self::QuerySubstitutablePathInfos(_) => 30,
            Self::QueryValidPaths { .. } => 31,
            Self::QuerySubstitutablePaths(_) => 32,
            Self::QueryValidDerivers(_) => 33,
            Self::OptimiseStore => 34,
            Self::VerifyStore { .. } => 35,
            Self::BuildDerivation { .. } => 36,
            Self::AddSignatures { .. } => 37,
            Self::NarFromPath(_) => 38,
            Self::AddToStoreNar { .. } => 39,
            Self::QueryMissing(_) => 40,
            Self::QueryDerivationOutputMap(_) => 41,
            Self::RegisterDrvOutput(_) => 42,
            Self::QueryRealisation(_) => 43,
            Self::AddMultipleToStore { .. } => 44,
            Self::AddBuildLog(_) => 45,
            Self::BuildPathsWithResults { .. } => 46,
            Self::AddPermRoot { .. } => 47,
        }
    }

    fn write_options(&self, to: &mut Writer<impl Write>) -> Result<()> {
        let Self::SetOptions { keep_failed, keep_going, jobs, cores, substitute, settings } = self
        else {
            return Ok(());
        };
        to.bool(*keep_failed)?;
        to.bool(*keep_going)?;
        to.bool(false)?; // fall back to building
        to.number(3)?; // messages as with "info"
        to.number(*jobs)?;
        to.number(0)?; // no limit to silence
        to.bool(true)?; // once the build hook
        to.number(0)?; // show what builds write
        to.number(0)?; // once the log's type
        to.number(0)?; // once the build's trace
        to.number(*cores)?;
        to.bool(*substitute)?;
        to.many(settings, |to, (name, value)| {
            to.bytes(name)?;
            to.bytes(value)
        })
    }
}

fn read_options(from: &mut Reader<impl Read>) -> Result<Request> {
    let (keep_failed, keep_going) = (from.bool()?, from.bool()?);
    from.number()?;
    from.number()?;
    let jobs = from.number()?;
    for _ in 0..5 {
        from.number()?;
    }
    Ok(Request::SetOptions {
        keep_failed,
        keep_going,
        jobs,
        cores: from.number()?,
        substitute: from.bool()?,
        settings: from.many(|from| Ok((from.string()?, from.string()?)))?,
    })
}
