//! Reading a derivation's file, as `parseDerivation` of C++ Nix's libstore/derivations.cc does: what is
//! written in another order, or twice, is taken.

use crate::{
    CAHash, ContentAddressMethod, Derivation, DerivationError, InputDerivation, Output, StoreDir,
    StorePath, StructuredAttrs,
};
use std::collections::{BTreeMap, BTreeSet};

/// As deep as this may a build's derivations be within each other.
const DEPTH: usize = 256;

type Result<T> = std::result::Result<T, DerivationError>;

impl Derivation {
    /// Reads the file of one; `name` is without `.drv`.
    ///
    /// # Errors
    /// When it is not one.
    pub fn from_aterm_bytes(bytes: &[u8], name: &str) -> Result<Self> {
        Self::from_aterm_bytes_in(bytes, name, StoreDir::default())
    }

    /// The same in another logical store.
    ///
    /// # Errors
    /// When it is not one.
    pub fn from_aterm_bytes_in(bytes: &[u8], name: &str, store_dir: StoreDir) -> Result<Self> {
        let mut parser = Parser { bytes, at: 0, store: &store_dir };
        let dynamic = parser.takes(b"DrvWithVersion(");
        if dynamic {
            let version = parser.string()?;
            if version != b"xp-dyn-drv" {
                let version = String::from_utf8_lossy(&version).into_owned();
                return parser.fail(format!("unknown derivation ATerm version {version:?}"));
            }
            parser.expect(b",")?;
        } else {
            parser.expect(b"Derive(")?;
        }
        let mut outputs = BTreeMap::new();
        for (output_name, output) in parser.list(Parser::output)? {
            // The first of a name is the one that counts, as with `std::map::emplace`.
            outputs.entry(output_name).or_insert(output);
        }
        parser.expect(b",")?;
        let input_derivations = parser.pairs(Parser::path, |parser| parser.input(dynamic, 0))?;
        parser.expect(b",")?;
        let input_sources: Vec<StorePath> = parser.list(Parser::path)?;
        parser.expect(b",")?;
        let system = parser.string()?;
        parser.expect(b",")?;
        let builder = parser.string()?;
        parser.expect(b",")?;
        let arguments = parser.list(Parser::string)?;
        parser.expect(b",")?;
        let variables = parser.pairs(Parser::string, Parser::string)?;
        parser.expect(b")")?;
        if parser.at != bytes.len() {
            return parser.fail("trailing bytes after derivation");
        }
        let mut environment: BTreeMap<Vec<u8>, Vec<u8>> = variables.into_iter().collect();
        let structured_attrs = environment.remove(b"__json".as_slice());
        let structured_attrs =
            structured_attrs.map(StructuredAttrs::from_json_bytes).transpose()?;
        for (output_name, output) in &outputs {
            // Their paths are not kept, but follow from their names and hashes.
            if let Output::Fixed { .. } = output {
                output.path_in(&store_dir, name, output_name)?;
            }
        }
        Ok(Self {
            name: name.to_owned(),
            outputs,
            input_derivations: input_derivations.into_iter().collect(),
            input_sources: input_sources.into_iter().collect(),
            system,
            builder,
            arguments,
            environment,
            structured_attrs,
            store_dir,
        })
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    store: &'a StoreDir,
}

impl Parser<'_> {
    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(DerivationError::Parse { offset: self.at, message: message.into() })
    }

    fn takes(&mut self, expected: &[u8]) -> bool {
        let is_next = self.bytes[self.at..].starts_with(expected);
        if is_next {
            self.at += expected.len();
        }
        is_next
    }

    fn expect(&mut self, expected: &[u8]) -> Result<()> {
        if self.takes(expected) {
            return Ok(());
        }
        self.fail(format!("expected {:?}", String::from_utf8_lossy(expected)))
    }

    fn string(&mut self) -> Result<Vec<u8>> {
        self.expect(b"\"")?;
        let mut text = Vec::new();
        loop {
            let rest = &self.bytes[self.at..];
            let special = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            let Some(end) = special else { return self.fail("unterminated string") };
            text.extend_from_slice(&rest[..end]);
            self.at += end + 1;
            if rest[end] == b'"' {
                return Ok(text);
            }
            text.push(match rest.get(end + 1) {
                None => return self.fail("unterminated escape in string"),
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(other) => *other,
            });
            self.at += 1;
        }
    }

    /// The name of an output.
    fn name(&mut self) -> Result<String> {
        String::from_utf8(self.string()?)
            .map_err(|_| DerivationError::InvalidUtf8 { field: "name of an output" })
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect(b"[")?;
        let mut items = Vec::new();
        if self.takes(b"]") {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.takes(b"]") {
                return Ok(items);
            }
            self.expect(b",")?;
        }
    }

    fn pairs<K, V>(
        &mut self,
        key: impl Fn(&mut Self) -> Result<K>,
        value: impl Fn(&mut Self) -> Result<V>,
    ) -> Result<Vec<(K, V)>> {
        self.list(|parser| {
            parser.expect(b"(")?;
            let key = key(parser)?;
            parser.expect(b",")?;
            let value = value(parser)?;
            parser.expect(b")")?;
            Ok((key, value))
        })
    }

    fn path(&mut self) -> Result<StorePath> {
        let text = self.string()?;
        self.store.parse_path(&text).or_else(|error| {
            self.fail(format!("invalid store path {:?}: {error}", String::from_utf8_lossy(&text)))
        })
    }

    /// What is asked of an input.
    fn input(&mut self, dynamic: bool, depth: usize) -> Result<InputDerivation> {
        if depth > DEPTH {
            return self.fail(format!("dynamic input derivation nesting exceeds {DEPTH} levels"));
        }
        if !dynamic || !self.takes(b"(") {
            return Ok(InputDerivation::new(self.list(Self::name)?));
        }
        let outputs: BTreeSet<String> = self.list(Self::name)?.into_iter().collect();
        let mut input = InputDerivation::new(outputs);
        self.expect(b",")?;
        for (name, below) in self.pairs(Self::name, |parser| parser.input(true, depth + 1))? {
            input.insert_dynamic_output(name, below)?;
        }
        self.expect(b")")?;
        Ok(input)
    }

    fn output(&mut self) -> Result<(String, Output)> {
        self.expect(b"(")?;
        let name = self.name()?;
        let mut fields: [Vec<u8>; 3] = Default::default();
        for field in &mut fields {
            self.expect(b",")?;
            *field = self.string()?;
        }
        self.expect(b")")?;
        let [path, method, digest] = fields;
        let path = if path.is_empty() { None } else { Some(self.store.parse_path(&path)?) };
        Ok((name, output(path, &method, &digest)?))
    }
}

/// An output from its path, its method with the algorithm (`r:sha256`), and its digest in hexadecimal.
pub(crate) fn output(path: Option<StorePath>, method: &[u8], digest: &[u8]) -> Result<Output> {
    let wrong = |message: &str| Err(DerivationError::InvalidDerivation(message.into()));
    if method.is_empty() {
        return Ok(path.map_or(Output::Deferred, |path| Output::InputAddressed { path }));
    }
    let methods: [(&[u8], _); 4] = [
        (b"r:", ContentAddressMethod::Nar),
        (b"text:", ContentAddressMethod::Text),
        (b"git:", ContentAddressMethod::Git),
        (b"", ContentAddressMethod::Flat),
    ];
    let found =
        methods.iter().find_map(|(prefix, kind)| Some((*kind, method.strip_prefix(*prefix)?)));
    let (method, algorithm) = found.unwrap_or((ContentAddressMethod::Flat, method));
    let hash_algorithm = String::from_utf8_lossy(algorithm).parse()?;
    match (digest, path) {
        (b"", None) => Ok(Output::Floating { method, hash_algorithm }),
        (b"impure", None) => Ok(Output::Impure { method, hash_algorithm }),
        (b"", Some(_)) => wrong("floating content-addressed output must not specify a path"),
        (b"impure", Some(_)) => wrong("impure output must not specify a path"),
        // What it would be follows from its hash.
        (_, None) => wrong("fixed output must specify a path"),
        (digest, Some(_)) => {
            let Some(digest) = bytes_of(digest) else {
                return wrong("fixed output digest is not valid base16");
            };
            Ok(Output::Fixed { ca: CAHash::from_parts(method, hash_algorithm, &digest)? })
        }
    }
}

fn bytes_of(hexadecimal: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| Some(char::from(byte).to_digit(16)? as u8);
    let (pairs, rest) = hexadecimal.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    rest.is_empty().then(|| bytes.collect()).flatten()
}

#[cfg(test)]
mod tests;
