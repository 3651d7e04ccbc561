(derivation { name = "a"; builder = "b"; system = "s"; outputHash = "0000000000000000000000000000000000000000000000000000"; outputHashAlgo = "sha256"; }).outPath
