(derivation { name = "a"; builder = "b"; system = "s"; int = 1; float = 1.5; yes = true; no = false; nul = null; list = [ 1 [ 2 "x" ] ]; str = "a\nb"; }).drvPath
