(derivation { name = "a"; builder = "b"; system = "s"; outputHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; outputHashMode = "nar"; }).drvPath
