(derivation { name = "a"; builder = 1; system = "s"; __structuredAttrs = true; }).drvPath
