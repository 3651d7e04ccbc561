(derivation { name = "a"; builder = "b"; system = "s"; outputHash = ""; outputHashAlgo = "sha256"; }).drvPath
