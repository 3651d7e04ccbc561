let d = derivation { name = "a"; builder = "b"; system = "s"; }; in "${d}/bin" == d.outPath + "/bin"
