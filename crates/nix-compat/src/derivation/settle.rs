//! Outputs get their paths, where these follow from the inputs.

use super::count::{Kind, output_hash};
use crate::{
    Derivation, DerivationError, InputDerivationHash, InputResolutionError, Output, OutputPathHash,
    StorePath,
};

/// Finishes a derivation: gives its outputs their paths, where these follow from its inputs.
///
/// # Errors
/// When it is not right, or `resolve` cannot tell what an input counts as.
pub fn settle<E>(
    mut drv: Derivation,
    resolve: impl FnMut(&StorePath) -> Result<InputDerivationHash, E>,
) -> Result<Derivation, InputResolutionError<E>> {
    let kind = drv.check_structure()?;
    let (store, names) = (drv.store_dir.clone(), drv.outputs.keys().cloned().collect::<Vec<_>>());
    match kind {
        Kind::Floating(_) | Kind::Impure => Ok(drv),
        Kind::Fixed => {
            for name in names {
                if let Some(path) = drv.outputs[&name].path_in(&store, &drv.name, &name)? {
                    drv.environment.insert(name.into(), store.render_path(&path).into());
                }
            }
            Ok(drv)
        }
        Kind::InputAddressed | Kind::Deferred => {
            for name in &names {
                drv.environment.entry(name.clone().into()).or_default();
            }
            let OutputPathHash::Ready(hash) = output_hash(&drv, resolve)? else {
                if kind == Kind::Deferred {
                    return Ok(drv);
                }
                let text = "its outputs have paths, but those of its inputs are not known";
                return Err(DerivationError::InvalidDerivation(text.into()).into());
            };
            for name in names {
                let path = store.build_output_path(hash, &name, &drv.name);
                let path = path.map_err(DerivationError::from)?;
                drv.environment.insert(name.clone().into(), store.render_path(&path).into());
                drv.outputs.insert(name, Output::InputAddressed { path });
            }
            Ok(drv)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StructuredAttrs;
    use std::convert::Infallible;

    fn settled(drv: Derivation) -> Derivation {
        settle(drv, |_| Ok::<_, Infallible>(InputDerivationHash::regular([7; 32]))).unwrap()
    }

    /// Known answers from C++ Nix 2.34.
    #[test]
    fn names_that_nothing_else_has() {
        let mut drv = Derivation::new("a", "x", "b").output("drv", Output::Deferred);
        for (name, value) in [("builder", "b"), ("name", "a"), ("outputs", "drv"), ("system", "x")]
        {
            drv = drv.set(name, value);
        }
        let outputs = settled(drv).resolved_outputs().unwrap();
        let path = outputs["drv"].path.as_ref().unwrap();
        assert_eq!(path.to_string(), "/nix/store/xpis8fn0fp6gv33s8wcjxhmg3plpv3gg-a-drv");
        let mut drv = Derivation::new("a", "x", "b").output("out", Output::Deferred);
        for (name, value) in [("", "q"), ("builder", "b"), ("name", "a"), ("system", "x")] {
            drv = drv.set(name, value);
        }
        let path = settled(drv).drv_path().unwrap();
        assert_eq!(path.to_string(), "/nix/store/6nq5pm11hrcpcs91wxxmfks3rjpgsncz-a.drv");
    }

    /// A known answer from C++ Nix 2.34.
    #[test]
    fn numbers_as_nix_writes_them() {
        let json = r#"{"builder":"/bin/sh","name":"f","s":"1e-07","system":"x86_64-linux","x":1e-07,"y":9.699999999999999e+21,"z":[1.5,1e+300,1.2345678901234568e+20]}"#;
        let attrs = StructuredAttrs::from_json_bytes(json.as_bytes().to_vec()).unwrap();
        let drv = Derivation::new("f", "x86_64-linux", "/bin/sh")
            .with_structured_attrs(attrs)
            .output("out", Output::Deferred);
        let made = crate::make(drv, |path| Err(path.clone())).unwrap();
        let path = "/nix/store/497g6n750isnr95gfn6vnakp0xzzr99q-f.drv";
        assert_eq!(made.path.to_string(), path);
        let out = made.outputs[0].1.as_ref().unwrap().to_string();
        assert_eq!(out, "/nix/store/m59i4m12sw5rl6l0yb0ndwfx6znn65f3-f");
        let read = Derivation::from_aterm_bytes(&made.text, "f").unwrap();
        assert_eq!(read.to_aterm_bytes(), made.text);
        let mut hashes = crate::ModuloHashes::default();
        hashes.check(&read).unwrap();
        assert_eq!(hashes.tell::<()>(&made.path, &read).unwrap(), made.hash);
        let wrong = String::from_utf8(made.text).unwrap().replace("m59i4", "n59i4");
        let wrong = Derivation::from_aterm_bytes(wrong.as_bytes(), "f").unwrap();
        assert!(hashes.check(&wrong).is_err());
    }
}
