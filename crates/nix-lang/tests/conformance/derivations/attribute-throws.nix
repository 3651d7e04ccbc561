(derivation { name = "a"; builder = "b"; system = "s"; f = throw "x"; }).drvPath
