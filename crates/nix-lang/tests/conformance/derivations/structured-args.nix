(derivation { name = "a"; builder = "b"; system = "s"; __structuredAttrs = true; args = [ "x" 1 ]; }).drvPath
