[ (builtins.elem 1 [ 1 2 ]) (builtins.elem 3 [ 1 2 ]) (builtins.elem { } [ { } ]) (builtins.elem 1 [ 1.0 ]) ]
