(derivation { name = "a"; builder = "b"; system = "s"; outputHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; outputHashAlgo = "sha1"; }).drvPath
