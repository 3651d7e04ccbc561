//! `builtin:unpack-channel`: the one directory in an archive, under a name of its own.

use hc_fs::plain;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Component, Path};

type Result<T> = std::result::Result<T, String>;

/// Unpacks the archive `src`, which must hold one file or directory, to `to/name`.
pub(super) fn unpack(src: &Path, name: &str, to: &Path) -> Result<()> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(format!("{name:?} cannot be the name of a channel"));
    }
    plain::create_dir(to, 0o755).map_err(|e| e.to_string())?;
    let unpacked = to.join(".unpack");
    plain::create_dir(&unpacked, 0o755).map_err(|e| e.to_string())?;
    let mut archive = tar::Archive::new(decompressed(src)?);
    for entry in archive.entries().map_err(|e| e.to_string())? {
        let mut entry = entry.map_err(|e| e.to_string())?;
        let path = entry.path().map_err(|e| e.to_string())?.into_owned();
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            continue;
        }
        let escapes =
            path.components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir));
        let plain = kind.is_file() || kind.is_dir() || kind.is_symlink() || kind.is_hard_link();
        if escapes || !plain {
            return Err(format!("the archive {} holds {}", src.display(), path.display()));
        }
        entry.set_preserve_mtime(false);
        // Follows no link out of its directory.
        let inside = entry.unpack_in(&unpacked).map_err(|e| e.to_string())?;
        if !inside {
            return Err(format!("the archive {} holds {}", src.display(), path.display()));
        }
    }
    let mut entries = std::fs::read_dir(&unpacked).map_err(|e| e.to_string())?;
    let (Some(Ok(only)), None) = (entries.next(), entries.next()) else {
        return Err(format!("the archive {} does not hold exactly one file", src.display()));
    };
    plain::rename(&only.path(), &to.join(name)).map_err(|e| e.to_string())?;
    plain::remove_dir(&unpacked).map(drop).map_err(|e| e.to_string())
}

fn decompressed(src: &Path) -> Result<Box<dyn Read>> {
    let file = File::open(src).map_err(|e| format!("cannot open {}: {e}", src.display()))?;
    let mut file = BufReader::new(file);
    let begin = file.fill_buf().map_err(|e| e.to_string())?;
    Ok(match begin {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        [0xfd, b'7', b'z', ..] => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(file)),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Box::new(zstd::stream::read::Decoder::with_buffer(file).map_err(|e| e.to_string())?)
        }
        _ => Box::new(file),
    })
}
