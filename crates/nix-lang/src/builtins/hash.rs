//! Hashes.

use nix_compat::{HashAlgorithm, NixHash, hash_bytes, nix32};

use super::Out;
use crate::Evaluator;
use crate::error::{Error, Result};
use crate::source::Pos;
use crate::sym;
use crate::value::{PrimOp, Value};

pub(super) static OPS: &[PrimOp] = &[
    PrimOp { name: "convertHash", arity: 1, run: convert_hash, lends: 0 },
    PrimOp { name: "hashFile", arity: 2, run: hash_file, lends: 0 },
    PrimOp { name: "hashString", arity: 2, run: hash_string, lends: 0 },
];

pub(crate) fn algorithm(name: &str, pos: Pos) -> Result<HashAlgorithm> {
    name.parse().map_err(|_| {
        Error::eval(
            format!("unknown hash algorithm '{name}', expect 'blake3', 'md5', 'sha1', 'sha256', or 'sha512'"),
            pos,
        )
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash as people write it: with or without its algorithm, in any encoding.
pub(crate) fn parse_hash(
    text: &str,
    algorithm: Option<HashAlgorithm>,
    pos: Pos,
) -> Result<NixHash> {
    if let Some((name, rest)) = text.split_once('-')
        && let Ok(found) = name.parse::<HashAlgorithm>()
        && nix_compat::hash::read(text).is_err()
    {
        let wanted = hash_bytes(found, b"").digest_as_bytes().len();
        let length = rest.trim_end_matches('=').len() * 3 / 4;
        let message =
            format!("invalid SRI hash '{rest}', length {length} != expected length {wanted}");
        return Err(Error::eval(message, pos));
    }
    if let Ok(hash) = nix_compat::hash::read(text) {
        if algorithm.is_some_and(|wanted| wanted != hash.algorithm()) {
            let wanted = algorithm.map(|wanted| wanted.to_string()).unwrap_or_default();
            let message = format!("hash '{text}' should have type '{wanted}'");
            return Err(Error::eval(message, pos));
        }
        return Ok(hash);
    }
    let algorithm = algorithm.ok_or_else(|| {
        let message = format!(
            "hash '{text}' does not include a type, nor is the type otherwise known from context"
        );
        Error::eval(message, pos)
    })?;
    nix_compat::hash::read(&format!("{algorithm}:{text}")).map_err(|_| {
        let message = format!("hash '{text}' has wrong length for hash algorithm '{algorithm}'");
        Error::eval(message, pos)
    })
}

fn hash_string<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let algorithm = algorithm(nix.force_text(args[0], pos)?, pos)?;
    let string = nix.force_string(args[1], pos)?;
    let hash = hash_bytes(algorithm, string.bytes);
    Ok(nix.string(hex(hash.digest_as_bytes())))
}

fn hash_file<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let algorithm = algorithm(nix.force_text(args[0], pos)?, pos)?;
    let path = nix.coerce_path(args[1], pos)?;
    let hash = hash_bytes(algorithm, &nix.read_file(&path, pos)?);
    Ok(nix.string(hex(hash.digest_as_bytes())))
}

fn convert_hash<'a>(nix: &Evaluator<'a>, args: &[Value<'a>], pos: Pos) -> Out<'a> {
    let attrs = nix.force_attrs(args[0], pos)?;
    let text = nix.force_text(nix.need(attrs, sym::HASH, pos)?.value(), pos)?;
    let algorithm = match attrs.value(sym::HASH_ALGO) {
        Some(name) => Some(algorithm(nix.force_text(name, pos)?, pos)?),
        None => None,
    };
    let format = nix.need(attrs, sym::TO_HASH_FORMAT, pos)?.value();
    let format = nix.force_text(format, pos)?;
    if !matches!(format, "base16" | "nix32" | "base32" | "base64" | "sri") {
        let message = format!(
            "unknown hash format '{format}', expect 'base16', 'base32', 'base64', or 'sri'"
        );
        return Err(Error::eval(message, pos));
    }
    let hash = parse_hash(text, algorithm, pos)?;
    let digest = hash.digest_as_bytes();
    let text = match format {
        "base16" => hex(digest),
        "nix32" | "base32" => nix32::encode(digest),
        "base64" => {
            let sri = hash.to_sri_string();
            sri.split_once('-').map_or_else(String::new, |(_, text)| text.to_owned())
        }
        _ => hash.to_sri_string(),
    };
    Ok(nix.string(text))
}
