builtins.sort builtins.lessThan (builtins.genList (i: let j = i * 7919; in j - (j / 101) * 101) 60)
