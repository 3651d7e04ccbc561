(derivation { name = "a"; builder = "b"; system = "s"; __structuredAttrs = true; s = "é\n\"\\\t☃"; "odd name" = 1; }).drvPath
