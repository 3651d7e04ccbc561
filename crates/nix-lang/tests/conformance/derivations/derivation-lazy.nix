(derivation { name = throw "x"; builder = "b"; system = "s"; y = 5; }).y
