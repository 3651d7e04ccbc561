let s = { x = 1;
  y = 2; }; p = builtins.unsafeGetAttrPos "y" s; in [ p.line p.column ]
