(derivation { name = "a"; builder = "b"; system = "s"; outputHash = "x"; outputs = [ "out" "dev" ]; }).drvPath
