//! Debian packages: the archive, the control fields, version order.

mod ar;
pub mod control;
pub mod relation;
pub mod version;

use crate::error::{Context, Error, Result};
use control::Paragraph;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};

/// No package of Debian unpacks to more; what does is a bomb.
pub(crate) const DATA_MAX: u64 = 16 << 30;
/// Nor has one a larger control archive.
const CONTROL_MAX: u64 = 256 << 20;
const CONTROL_FILE_MAX: u64 = 4 << 20;
/// What the xz decoder may take; the highest preset takes 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;

/// A package file.
#[derive(Debug)]
pub struct Deb {
    path: PathBuf,
    control: ar::Member,
    data: ar::Member,
}

impl Deb {
    /// Reads where the parts of the package at `path` are.
    ///
    /// # Errors
    /// When it cannot be read or is no Debian package.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).on("open", path)?;
        let size = file.metadata().on("look at", path)?.len();
        let why = |why| refuse(path, why);
        let members = ar::members(file, size).map_err(why)?;
        let [version, rest @ ..] = members.as_slice() else {
            return Err(why("the archive is empty".into()));
        };
        if version.name != "debian-binary" {
            return Err(why("it does not begin with `debian-binary`: not a Debian package".into()));
        }
        let find = |prefix: &str| {
            rest.iter()
                .find(|m| {
                    m.name.strip_prefix(prefix).is_some_and(|r| r.is_empty() || r.starts_with('.'))
                })
                .cloned()
                .ok_or_else(|| why(format!("it has no `{prefix}` part: cut off or not a package")))
        };
        Ok(Self { path: path.into(), control: find("control.tar")?, data: find("data.tar")? })
    }

    /// Where the package is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of its control file.
    ///
    /// # Errors
    /// When the package is damaged.
    pub fn control(&self) -> Result<String> {
        let mut archive = tar::Archive::new(self.part(&self.control)?.take(CONTROL_MAX));
        let wrong = |e: std::io::Error| self.refuse(format!("its control part is damaged: {e}"));
        for entry in archive.entries().map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            if matches!(&*entry.path_bytes(), b"./control" | b"control") {
                let mut text = String::new();
                entry.take(CONTROL_FILE_MAX).read_to_string(&mut text).map_err(wrong)?;
                return Ok(text);
            }
        }
        Err(self.refuse("its control part has no file `control`".into()))
    }

    /// The files of the package, as a tar stream.
    ///
    /// # Errors
    /// When it cannot be opened or its compression is unknown.
    pub fn data(&self) -> Result<Take<Box<dyn Read>>> {
        Ok(self.part(&self.data)?.take(DATA_MAX))
    }

    /// The error for this package.
    #[must_use]
    pub fn refuse(&self, why: String) -> Error {
        refuse(&self.path, why)
    }

    fn part(&self, member: &ar::Member) -> Result<Box<dyn Read>> {
        let mut file = File::open(&self.path).on("open", &self.path)?;
        file.seek(SeekFrom::Start(member.offset)).on("read", &self.path)?;
        let raw = file.take(member.size);
        let kind = member.name.rsplit_once(".tar").map_or("", |(_, kind)| kind);
        decompress(kind, raw).map_err(|why| self.refuse(why))
    }
}

/// A decoder by the file name's last part: `.xz`, `.zst`, `.gz`, or nothing.
pub(crate) fn decompress(kind: &str, raw: impl Read + 'static) -> Result<Box<dyn Read>, String> {
    Ok(match kind {
        "" => Box::new(raw),
        ".xz" => {
            let stream = liblzma::stream::Stream::new_stream_decoder(
                XZ_MEMORY,
                liblzma::stream::CONCATENATED,
            );
            let stream = stream.map_err(|e| format!("the xz decoder does not start: {e}"))?;
            Box::new(liblzma::read::XzDecoder::new_stream(raw, stream))
        }
        ".zst" => Box::new(
            zstd::Decoder::new(raw).map_err(|e| format!("the zstd decoder does not start: {e}"))?,
        ),
        ".gz" => Box::new(flate2::read::MultiGzDecoder::new(raw)),
        other => return Err(format!("its compression `{other}` is none of .xz, .zst and .gz")),
    })
}

/// What names a package to its user: the control fields an image is made by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, or `all`.
    pub arch: String,
    /// Whether the system cannot do without.
    pub essential: bool,
    /// What must be configured before it is unpacked, and before it is configured.
    pub depends: Vec<Vec<relation::Relation>>,
    /// The virtual packages it stands for.
    pub provides: Vec<relation::Relation>,
}

impl Info {
    /// From a control paragraph.
    ///
    /// # Errors
    /// A sentence on the field that is missing or wrong.
    pub fn parse(paragraph: &Paragraph<'_>) -> Result<Self, String> {
        let need = |field: &str| {
            let value = paragraph.get(field).map(str::trim).filter(|v| !v.is_empty());
            value.map(str::to_owned).ok_or_else(|| format!("its control file has no `{field}`"))
        };
        let mut depends = Vec::new();
        for field in ["Pre-Depends", "Depends"] {
            depends.extend(relation::parse(paragraph.get(field).unwrap_or(""))?);
        }
        let provides = relation::parse(paragraph.get("Provides").unwrap_or(""))?;
        let name = need("Package")?;
        if !relation::is_package_name(&name) {
            return Err(format!("`{name}` is not a package name"));
        }
        Ok(Self {
            name,
            version: need("Version")?,
            arch: need("Architecture")?,
            essential: paragraph.get("Essential").is_some_and(|v| v.trim() == "yes"),
            depends,
            provides: provides.into_iter().flatten().collect(),
        })
    }
}

fn refuse(path: &Path, why: String) -> Error {
    let name = path.file_name().unwrap_or(path.as_os_str());
    Error::Package { package: name.to_string_lossy().into_owned(), why }
}

#[cfg(test)]
mod tests;
