let s = {a = 1;
 b = 2;
c = 3; }; p = builtins.unsafeGetAttrPos; in map (n: [ (p n s).line (p n s).column ]) [ "a" "b" "c" ]
