let d = derivation { name = "a"; builder = "b"; system = "s"; outputHash = "0000000000000000000000000000000000000000"; outputHashAlgo = "sha1"; }; in [ d.outPath d.drvPath ]
