(derivation { name = "a"; builder = "b"; system = "s"; __ignoreNulls = true; __structuredAttrs = true; x = null; y = [ null ]; }).drvPath
