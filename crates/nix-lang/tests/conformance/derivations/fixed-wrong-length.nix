(derivation { name = "a"; builder = "b"; system = "s"; outputHash = "00"; outputHashAlgo = "sha256"; }).drvPath
