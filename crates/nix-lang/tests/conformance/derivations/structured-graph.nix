let a = derivation { name = "a"; builder = "b"; system = "s"; }; in (derivation { name = "c"; builder = "b"; system = "s"; __structuredAttrs = true; exportReferencesGraph.graph = [ a ]; }).drvPath
