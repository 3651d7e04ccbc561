[ (builtins.add 1 2.5) (builtins.sub 1.5 1) (builtins.mul 2 0.5) (builtins.div 1 4.0) ]
