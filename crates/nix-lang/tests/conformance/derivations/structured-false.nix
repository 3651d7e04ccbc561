(derivation { name = "a"; builder = "b"; system = "s"; __structuredAttrs = false; x = [ 1 2 ]; }).drvPath
