(rec { l = builtins.genList (builtins.bitAnd l) 2; }).l
