use super::*;
use crate::{HashAlgorithm, InputDerivation};
use proptest::prelude::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let special = proptest::sample::select(b"\"\\\n\r\t\0\xe9\xff,)]a".to_vec());
    proptest::collection::vec(prop_oneof![any::<u8>(), special], 0..12)
}

fn path(digest: u8, name: &str) -> StorePath {
    StorePath::from_parts([digest; 20], name).unwrap()
}

prop_compose! {
    fn derivation()(
        system in "[a-z0-9_-]{1,8}",
        builder in bytes(),
        arguments in proptest::collection::vec(bytes(), 0..4),
        environment in proptest::collection::btree_map(bytes(), bytes(), 0..5),
        sources in proptest::collection::vec(any::<u8>(), 0..3),
        inputs in proptest::collection::vec((any::<u8>(), any::<bool>()), 0..3),
        kind in 0..5u8,
    ) -> Derivation {
        let (method, hash_algorithm) = (ContentAddressMethod::Nar, HashAlgorithm::Sha256);
        let ca = CAHash::Nar(crate::hash_bytes(hash_algorithm, &builder));
        let output = match kind {
            0 => Output::Deferred,
            1 => Output::InputAddressed { path: path(kind, "x") },
            2 => Output::Fixed { ca },
            3 => Output::Floating { method, hash_algorithm },
            _ => Output::Impure { method, hash_algorithm },
        };
        let mut made = Derivation::new("x", system, builder).output("out", output);
        *made.arguments_mut() = arguments;
        *made.environment_mut() = environment;
        for source in sources {
            made = made.input_source(path(source, "source"));
        }
        for (input, dynamic) in inputs {
            let mut asked = InputDerivation::new(["out", "dev"]);
            if dynamic {
                asked.insert_dynamic_output("out", InputDerivation::new(["lib"])).unwrap();
            }
            made = made.input_derivation(path(input, "input.drv"), asked);
        }
        made
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(derivation in derivation()) {
        let text = derivation.to_aterm_bytes();
        let again = Derivation::from_aterm_bytes(&text, "x").unwrap();
        prop_assert_eq!(again.to_aterm_bytes(), text);
        prop_assert_eq!(again, derivation);
    }

    /// What is all UTF-8 is the same to another reader and writer.
    #[test]
    fn nix_derivation_agrees(derivation in derivation(), change in any::<proptest::sample::Index>(), to: u8) {
        let mut text = derivation.to_aterm_bytes();
        if to % 2 == 0 {
            let at = change.index(text.len());
            text[at] = to;
        }
        let ours = Derivation::from_aterm_bytes(&text, "x");
        match nix_derivation::Derivation::from_aterm_bytes(&text, "x") {
            Ok(theirs) => prop_assert_eq!(ours.unwrap().to_aterm_bytes(), theirs.to_aterm_bytes()),
            Err(DerivationError::InvalidUtf8 { .. }) => {}
            Err(theirs) => prop_assert!(ours.is_err(), "{theirs}"),
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = Derivation::from_aterm_bytes(&bytes, "x");
        let _ = Derivation::from_aterm_bytes(&[b"Derive(", bytes.as_slice()].concat(), "x");
    }
}

#[test]
fn what_is_wrong_is_told() {
    let says =
        |text: &str| Derivation::from_aterm_bytes(text.as_bytes(), "x").unwrap_err().to_string();
    let digits = "0".repeat(64);
    insta::assert_snapshot!(
        [
            "",
            "Derive([",
            "Derive([],[],[],\"x",
            "Derive([],[],[],\"x\\",
            "Derive([],[],[],\"x\",\"y\",[],[])z",
            "Derive([],[],[\"/etc/passwd\"],\"x\",\"y\",[],[])",
            "Derive([(\"out\",\"/nix/store/00000000000000000000000000000000-x\",\"r:sha256\",\"zz\")],[],[],\"x\",\"y\",[],[])",
            &format!("Derive([(\"out\",\"\",\"r:sha256\",\"{digits}\")],[],[],\"x\",\"y\",[],[])"),
            "Derive([(\"out\",\"\",\"r:sha3\",\"\")],[],[],\"x\",\"y\",[],[])",
            "DrvWithVersion(\"xp-other\",[],[],[],\"x\",\"y\",[],[])",
        ]
        .map(says)
        .join("\n"),
        @r#"
    ATerm parse error at byte 0: expected "Derive("
    ATerm parse error at byte 8: expected "("
    ATerm parse error at byte 17: unterminated string
    ATerm parse error at byte 19: unterminated escape in string
    ATerm parse error at byte 30: trailing bytes after derivation
    ATerm parse error at byte 27: invalid store path "/etc/passwd": path is outside the configured store directory
    invalid derivation: fixed output digest is not valid base16
    invalid derivation: fixed output must specify a path
    invalid content hash in derivation: unknown hash algorithm "sha3"
    ATerm parse error at byte 25: unknown derivation ATerm version "xp-other"
    "#
    );
    let mut deep = b"DrvWithVersion(\"xp-dyn-drv\",[],[(\"/nix/store/00000000000000000000000000000000-x.drv\",".to_vec();
    for _ in 0..300 {
        deep.extend(b"([],[(\"out\",");
    }
    let error = Derivation::from_aterm_bytes(&deep, "x").unwrap_err().to_string();
    assert!(error.contains("exceeds 256 levels"), "{error}");
}
