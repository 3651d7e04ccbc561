(derivation { name = "a"; builder = "b"; system = "s"; args = [ "-c" 1 true /nope-not-used-as-path ] ++ [ ]; } // { }).name
