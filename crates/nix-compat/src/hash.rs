//! Digests in all the ways Nix writes them.

pub use nix_derivation::hash::{
    CAHash, ContentAddressMethod, Error, HashAlgorithm, NixHash, NixHasher, hash_bytes,
};

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::io::{Read, Write};

/// A writer that hashes what is written to it.
#[derive(Debug)]
pub struct HashWriter(NixHasher);

impl HashWriter {
    /// Begins a digest.
    #[must_use]
    pub fn new(algorithm: HashAlgorithm) -> Self {
        Self(NixHasher::new(algorithm))
    }

    /// The digest of what was written.
    #[must_use]
    pub fn finish(self) -> NixHash {
        self.0.finalize()
    }
}

impl Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The digest of everything that can be read.
///
/// # Errors
/// When reading fails.
pub fn hash_reader(algorithm: HashAlgorithm, mut from: impl Read) -> std::io::Result<NixHash> {
    let mut hasher = NixHasher::new(algorithm);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// How a digest is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashFormat {
    /// Lowercase hexadecimal.
    Base16,
    /// Nix's own alphabet, as in store paths.
    Nix32,
    /// Base64 with padding.
    Base64,
    /// `algorithm-base64`, as in HTML's subresource integrity.
    Sri,
}

/// Writes the digest without its algorithm (except [`HashFormat::Sri`], which has it).
#[must_use]
pub fn format(hash: &NixHash, format: HashFormat) -> String {
    let digest = hash.digest_as_bytes();
    match format {
        HashFormat::Base16 => digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        HashFormat::Nix32 => nix_derivation::nixbase32::encode(digest),
        HashFormat::Base64 => base64::engine::general_purpose::STANDARD.encode(digest),
        HashFormat::Sri => hash.to_sri_string(),
    }
}

/// Reads a hash as `outputHash` with `outputHashAlgo` may be written: SRI, `algorithm:digest`, or
/// a bare digest whose algorithm is told beside it. An empty one is all zeros, as in Nix.
///
/// # Errors
/// When it has no algorithm, two different ones, or is none of these.
pub fn parse(input: &str, algorithm: Option<HashAlgorithm>) -> Result<NixHash, Error> {
    let unparseable = || Error::Unparseable(input.to_owned());
    if input.is_empty() {
        let algorithm = algorithm.ok_or_else(unparseable)?;
        return NixHash::from_algorithm_and_digest(algorithm, &vec![0; digest_len(algorithm)]);
    }
    if input.contains([':', '-']) {
        let hash = read(input)?;
        return match algorithm {
            Some(told) if told != hash.algorithm() => Err(unparseable()),
            _ => Ok(hash),
        };
    }
    let algorithm = algorithm.ok_or_else(unparseable)?;
    read(&format!("{algorithm}:{input}"))
}

/// Reads `algorithm-base64` or `algorithm:digest`. As in Nix, base64 ends at its first `=` (SRI needs
/// none), and the bits that its last digit has too many count for nothing.
///
/// # Errors
/// When it is neither.
pub fn read(text: &str) -> Result<NixHash, Error> {
    NixHash::parse(text).or_else(|error| loose(text).ok_or(error))
}

/// A digest in base64 that nobody would write.
fn loose(text: &str) -> Option<NixHash> {
    let at = text.find(['-', ':'])?;
    let (algorithm, digest) = (text[..at].parse().ok()?, &text[at + 1..]);
    let len = digest_len(algorithm);
    if text.as_bytes()[at] == b':' && digest.len() != len.div_ceil(3) * 4 {
        return None;
    }
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone);
    let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, config);
    let digest = engine.decode(digest.split('=').next()?).ok()?;
    NixHash::from_algorithm_and_digest(algorithm, &digest).ok()
}

/// The number of bytes of a digest.
#[must_use]
pub const fn digest_len(algorithm: HashAlgorithm) -> usize {
    match algorithm {
        HashAlgorithm::Md5 => 16,
        HashAlgorithm::Sha1 => 20,
        HashAlgorithm::Blake3 | HashAlgorithm::Sha256 => 32,
        HashAlgorithm::Sha512 => 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALGORITHMS: [HashAlgorithm; 4] =
        [HashAlgorithm::Md5, HashAlgorithm::Sha1, HashAlgorithm::Sha256, HashAlgorithm::Sha512];

    #[test]
    fn an_empty_hash_is_zero_and_needs_an_algorithm() {
        let zero = parse("", Some(HashAlgorithm::Sha256)).unwrap();
        insta::assert_snapshot!(zero.to_sri_string(), @"sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        assert!(parse("", None).is_err());
        assert!(parse("md5:d41d8cd98f00b204e9800998ecf8427e", Some(HashAlgorithm::Sha1)).is_err());
    }

    #[test]
    fn base64_is_read_as_loosely_as_nix_reads_it() {
        const DIGEST: &str = "1ebf20e80a8035bdf1a97dbc7aed579e32bfdda6fc1afe932529e46f52decc6f";
        let of = |text: &str, algorithm| {
            parse(text, algorithm).map(|hash| format(&hash, HashFormat::Base16)).ok()
        };
        let last = "Hr8g6AqANb3xqX28eu1XnjK/3ab8Gv6TJSnkb1LezG9=";
        let sha256 = Some(HashAlgorithm::Sha256);
        for text in [["sha256-", last].concat(), ["sha256:", last].concat()] {
            assert_eq!(of(&text, None).as_deref(), Some(DIGEST));
        }
        assert_eq!(of(last, sha256).as_deref(), Some(DIGEST));
        assert_eq!(of(&["sha256-", &last[..43]].concat(), None).as_deref(), Some(DIGEST));
        assert_eq!(of(&last[..43], sha256), None);
        assert_eq!(of("sha256-Hr8g6AqANb3xqX28eu1XnjK/3ab8Gv6TJSnkb1L==ezG9=", None), None);
    }

    proptest! {
        #[test]
        fn every_format_is_read_back(bytes: Vec<u8>, which in 0..4usize) {
            let hash = hash_bytes(ALGORITHMS[which], &bytes);
            for style in [HashFormat::Base16, HashFormat::Nix32, HashFormat::Base64] {
                let text = format(&hash, style);
                prop_assert_eq!(&parse(&text, Some(hash.algorithm())).unwrap(), &hash);
                let text = format!("{}:{text}", hash.algorithm());
                prop_assert_eq!(&parse(&text, None).unwrap(), &hash);
            }
            prop_assert_eq!(&parse(&format(&hash, HashFormat::Sri), None).unwrap(), &hash);
        }

        #[test]
        fn reading_never_panics(text: String) {
            let _ = parse(&text, None);
            let _ = parse(&text, Some(HashAlgorithm::Sha256));
        }
    }
}
