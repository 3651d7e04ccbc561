use super::*;
use crate::{CAHash, HashAlgorithm, InputDerivation, hash_bytes};
use proptest::prelude::*;
use std::convert::Infallible;

/// What a path counts as, made up from its name.
fn counted(path: &StorePath) -> Result<InputDerivationHash, Infallible> {
    let digest: [u8; 32] = Sha256::digest(path.name().as_bytes()).into();
    Ok(if path.name().starts_with('f') {
        InputDerivationHash::fixed_output(digest)
    } else {
        InputDerivationHash::regular(digest)
    })
}

fn the_long_way(drv: Derivation) -> Result<Made, InputResolutionError<Infallible>> {
    let text = settle(drv, counted)?.to_aterm_bytes();
    let other = nix_derivation::Derivation::from_aterm_bytes(&text, "a-name")?;
    // It takes no outputs of this name.
    if !String::from_utf8_lossy(&text).contains("\"drv\"") {
        other.try_validate_with_input_hashes(counted)?;
    }
    let outputs = other.resolved_outputs()?.into_iter().map(|(name, it)| (name, it.path));
    Ok(Made {
        path: other.drv_path()?,
        hash: other.try_hash_input_derivation_modulo(counted)?,
        outputs: outputs.collect(),
        text: other.to_aterm_bytes(),
    })
}

fn output_names() -> impl Strategy<Value = BTreeSet<String>> {
    let name = prop_oneof![Just("out".to_owned()), "[a-z]{1,3}"];
    proptest::collection::btree_set(name, 1..4)
}

fn paths(pattern: &'static str) -> impl Strategy<Value = StorePath> {
    (any::<[u8; 20]>(), pattern)
        .prop_map(|(digest, name)| StorePath::from_parts(digest, &name).expect("a store path"))
}

proptest! {
    #[test]
    fn paths_are_written_as_everywhere(path in paths("[a-z]{1,9}")) {
        let store = StoreDir::default();
        prop_assert_eq!(rendered(&store, &path), store.render_path(&path));
    }

    // Text, path, outputs and hash are those of `nix-derivation`.
    #[test]
    fn both_ways_make_the_same(
        outputs in output_names(),
        fixed in proptest::option::of(any::<bool>()),
        inputs in proptest::collection::btree_map(paths("[f-h][a-z]{4,8}\\.drv"), output_names(), 0..4),
        sources in proptest::collection::vec(paths("[a-z]{1,9}"), 0..4),
        arguments in proptest::collection::vec("\\PC{0,9}|[\"\\\\\n\r\t]{1,3}", 0..3),
        environment in proptest::collection::btree_map("[a-z]{1,3}|\\PC{1,4}", any::<Vec<u8>>(), 0..6),
    ) {
        let mut drv = Derivation::new("a-name", "x86_64-linux", "/bin/\"sh\"\n");
        match fixed {
            None => drv.outputs_mut().extend(outputs.into_iter().map(|name| (name, Output::Deferred))),
            Some(flat) => {
                let hash = hash_bytes(HashAlgorithm::Sha256, b"x");
                let ca = if flat { CAHash::Flat(hash) } else { CAHash::Nar(hash) };
                drv.outputs_mut().insert("out".to_owned(), Output::Fixed { ca });
            }
        }
        for (path, outputs) in inputs {
            drv.input_derivations_mut().insert(path, InputDerivation::new(outputs));
        }
        drv.input_sources_mut().extend(sources);
        *drv.arguments_mut() = arguments.into_iter().map(String::into_bytes).collect();
        *drv.environment_mut() =
            environment.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect();
        let (short, long) = (make(drv.clone(), counted), the_long_way(drv));
        prop_assert_eq!(short.is_ok(), long.is_ok());
        if let (Ok(short), Ok(long)) = (short, long) {
            prop_assert_eq!(String::from_utf8_lossy(&short.text), String::from_utf8_lossy(&long.text));
            prop_assert_eq!(short, long);
        }
    }
}

/// Known answer from C++ Nix 2.34: two inputs that differ in where something fixed is fetched
/// from count as one, of which the outputs of both are asked.
#[test]
fn inputs_that_count_as_one() {
    let mut hashes = std::collections::BTreeMap::new();
    let mut build = |drv: Derivation| {
        let made = make(drv, |path| Ok::<_, Infallible>(hashes[path])).expect("it is right");
        hashes.insert(made.path.clone(), made.hash);
        made
    };
    let base = |name: &str| {
        Derivation::new(name, "x", "b").set("name", name).set("system", "x").set("builder", "b")
    };
    let empty = hash_bytes(HashAlgorithm::Sha256, b"");
    let mut middle = |url: &str| {
        let sri = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let fixed = build(
            base("f")
                .output("out", Output::Fixed { ca: CAHash::Flat(empty.clone()) })
                .set("url", url)
                .set("outputHash", sri)
                .set("outputHashMode", "flat")
                .set("outputHashAlgo", "sha256"),
        );
        let source = fixed.outputs[0].1.as_ref().map(ToString::to_string).unwrap_or_default();
        build(
            base("m")
                .output("out", Output::Deferred)
                .output("dev", Output::Deferred)
                .set("outputs", "out dev")
                .set("src", source)
                .input_derivation(fixed.path, InputDerivation::new(["out"])),
        )
    };
    let (one, two) = (middle("one"), middle("two"));
    let output = |made: &Made, name: &str| {
        let found = made.outputs.iter().find(|(output, _)| output == name);
        found.and_then(|(_, path)| path.as_ref()).map(ToString::to_string).unwrap_or_default()
    };
    let last = build(
        base("t")
            .output("out", Output::Deferred)
            .set("x", format!("{} {}", output(&one, "out"), output(&two, "dev")))
            .input_derivation(one.path.clone(), InputDerivation::new(["out"]))
            .input_derivation(two.path.clone(), InputDerivation::new(["dev"])),
    );
    assert_eq!(output(&last, "out"), "/nix/store/jc7pd3x665m05wxdahq5kqi24whphcyy-t");
}
