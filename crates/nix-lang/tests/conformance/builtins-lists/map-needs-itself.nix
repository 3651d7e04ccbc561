let l = map (y: builtins.elemAt l 0) [ 1 ]; in builtins.elemAt l 0
