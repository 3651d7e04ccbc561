(derivation { name = "a"; builder = "b"; system = "s"; args = [ "-c" "echo $out" 1 true null ]; }).drvPath
