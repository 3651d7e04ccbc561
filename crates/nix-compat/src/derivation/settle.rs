//! Outputs get their paths, where these follow from the inputs.
//!
//! Also those of derivations that C++ Nix makes and `nix-derivation` would refuse or write otherwise:
//! with an output called `drv` or nothing at all, with a variable without a name, or with a number in
//! its structured attributes that is written in another way. Reading and hashing take them; only the
//! builder's checks do not. So they are written as a text here, and read back.

use super::count::{is_dynamic, output_hash};
use super::write::{has_numbers_of_its_own, read_back};
use crate::{
    Derivation, DerivationBuilder, DerivationError, InputDerivationHash, InputResolutionError,
    Output, OutputPathHash, StorePath,
};

/// Finishes a derivation: gives its outputs their paths, where these follow from its inputs.
///
/// # Errors
/// When it is not right, or `resolve` cannot tell what an input counts as.
pub fn settle<E>(
    drv: DerivationBuilder,
    mut resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<Derivation, InputResolutionError<E>> {
    if !is_usual(&drv) {
        return settle_unusual(drv, resolve);
    }
    let dynamic = is_dynamic(drv.input_derivations()).then(|| drv.clone());
    let built = drv.try_build_with_input_hashes(&mut resolve)?.into_derivation();
    match dynamic {
        // It was checked, but may have paths all the same.
        Some(drv) => settle_unusual(drv, resolve),
        None => Ok(built),
    }
}

fn is_usual(drv: &DerivationBuilder) -> bool {
    let name = |name: &String| {
        name == "out" || (name != "drv" && StorePath::from_parts([0; 20], name).is_ok())
    };
    !drv.environment_entries().contains_key("")
        && !has_numbers_of_its_own(drv.structured_attrs_ref())
        && drv.outputs().keys().all(name)
        && drv.input_derivations().values().all(|input| {
            input.walk().all(|node| {
                let input = node.input();
                input.outputs().iter().chain(input.dynamic_outputs().keys()).all(name)
            })
        })
}

fn settle_unusual<E>(
    mut drv: DerivationBuilder,
    resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<Derivation, InputResolutionError<E>> {
    let names: Vec<String> = drv.outputs().keys().cloned().collect();
    let mut deferred = false;
    for name in &names {
        match &drv.outputs()[name] {
            Output::InputAddressed { .. } | Output::Deferred => {
                deferred = true;
                drv.environment_mut().entry(name.clone()).or_default();
            }
            output @ Output::Fixed { .. } => {
                let path = output.path_in(drv.store_dir(), drv.name(), name)?;
                if let Some(path) = path {
                    let text = drv.store_dir().render_path(&path);
                    drv.environment_mut().insert(name.clone(), text.into_bytes());
                }
            }
            Output::Floating { .. } | Output::Impure { .. } => {}
        }
    }
    let masked = read_back(&drv)?;
    if !deferred {
        return Ok(masked);
    }
    let OutputPathHash::Ready(hash) = output_hash(&masked, resolve)? else {
        return Ok(masked);
    };
    for name in names {
        let path = drv
            .store_dir()
            .build_output_path(hash, &name, drv.name())
            .map_err(DerivationError::from)?;
        let text = drv.store_dir().render_path(&path);
        drv.environment_mut().insert(name.clone(), text.into_bytes());
        drv.outputs_mut().insert(name, Output::InputAddressed { path });
    }
    Ok(read_back(&drv)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CAHash, ContentAddressMethod, HashAlgorithm, InputDerivation, StructuredAttrs};
    use std::convert::Infallible;

    fn settled(drv: DerivationBuilder) -> Derivation {
        settle(drv, |_| Ok::<_, Infallible>(InputDerivationHash::regular([7; 32]))).unwrap()
    }

    /// Known answers from C++ Nix 2.34.
    #[test]
    fn names_that_nothing_else_has() {
        let mut drv = DerivationBuilder::new("a", "x", "b").output("drv", Output::Deferred);
        for (name, value) in [("builder", "b"), ("name", "a"), ("outputs", "drv"), ("system", "x")]
        {
            drv = drv.environment(name, value);
        }
        let outputs = settled(drv).resolved_outputs().unwrap();
        let path = outputs["drv"].path.as_ref().unwrap();
        assert_eq!(path.to_string(), "/nix/store/xpis8fn0fp6gv33s8wcjxhmg3plpv3gg-a-drv");
        let mut drv = DerivationBuilder::new("a", "x", "b").output("out", Output::Deferred);
        for (name, value) in [("", "q"), ("builder", "b"), ("name", "a"), ("system", "x")] {
            drv = drv.environment(name, value);
        }
        let path = settled(drv).drv_path().unwrap();
        assert_eq!(path.to_string(), "/nix/store/6nq5pm11hrcpcs91wxxmfks3rjpgsncz-a.drv");
    }

    /// A known answer from C++ Nix 2.34.
    #[test]
    fn numbers_as_nix_writes_them() {
        let json = r#"{"builder":"/bin/sh","name":"f","s":"1e-07","system":"x86_64-linux","x":1e-07,"y":9.699999999999999e+21,"z":[1.5,1e+300,1.2345678901234568e+20]}"#;
        let attrs = StructuredAttrs::from_json_bytes(json.as_bytes().to_vec()).unwrap();
        let drv = DerivationBuilder::new("f", "x86_64-linux", "/bin/sh")
            .structured_attrs(attrs)
            .output("out", Output::Deferred);
        let made = crate::make(drv, |path| Err(path.clone())).unwrap();
        let path = "/nix/store/497g6n750isnr95gfn6vnakp0xzzr99q-f.drv";
        assert_eq!(made.path.to_string(), path);
        let out = made.outputs[0].1.as_ref().unwrap().to_string();
        assert_eq!(out, "/nix/store/m59i4m12sw5rl6l0yb0ndwfx6znn65f3-f");
        let read = Derivation::from_aterm_bytes(&made.text, "f").unwrap();
        assert_eq!(crate::derivation::text(&read), made.text);
        let mut hashes = crate::ModuloHashes::default();
        hashes.check(&read).unwrap();
        assert_eq!(hashes.tell::<()>(&made.path, &read).unwrap(), made.hash);
        let wrong = String::from_utf8(made.text).unwrap().replace("m59i4", "n59i4");
        let wrong = Derivation::from_aterm_bytes(wrong.as_bytes(), "f").unwrap();
        assert!(hashes.check(&wrong).is_err());
    }

    /// What both ways can make, both make the same.
    #[test]
    fn usual_derivations_come_out_the_same() {
        let input: StorePath =
            StorePath::from_absolute_path(b"/nix/store/00000000000000000000000000000000-in.drv")
                .unwrap();
        let dynamic = InputDerivation::new(["dev"])
            .with_dynamic_output("out", InputDerivation::new(["out"]))
            .unwrap();
        let hash = crate::hash_bytes(HashAlgorithm::Sha256, b"");
        let floating = Output::Floating {
            method: ContentAddressMethod::Nar,
            hash_algorithm: HashAlgorithm::Sha256,
        };
        for input_drv in [InputDerivation::new(["out", "dev"]), dynamic] {
            for output in [
                Output::Deferred,
                Output::Fixed { ca: CAHash::Nar(hash.clone()) },
                Output::Fixed { ca: CAHash::Flat(hash.clone()) },
                floating.clone(),
            ] {
                let drv = DerivationBuilder::new("a", "x", "b \"\\\n")
                    .output("out", output)
                    .input_derivation(input.clone(), input_drv.clone())
                    .input_source(
                        StorePath::from_absolute_path(
                            b"/nix/store/00000000000000000000000000000001-src",
                        )
                        .unwrap(),
                    )
                    .argument("-e")
                    .environment("x", "tab\tand \r\n");
                let resolve =
                    |_: &StorePath| Ok::<_, Infallible>(InputDerivationHash::regular([7; 32]));
                let other = settle_unusual(drv.clone(), resolve).unwrap();
                assert_eq!(settled(drv.clone()).to_aterm_bytes(), other.to_aterm_bytes());
                if !input_drv.is_dynamic() {
                    let built = drv.build_with_input_hashes(|_| [7; 32]).unwrap();
                    assert_eq!(built.to_aterm_bytes(), other.to_aterm_bytes());
                }
            }
        }
    }
}
