(derivation { name = "a"; builder = "b"; system = "s"; text = "x"; passAsFile = [ "text" ]; }).drvPath
