(derivation { name = "a"; builder = "b"; system = "s"; __structuredAttrs = true; outputHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; outputHashMode = "recursive"; }).drvPath
