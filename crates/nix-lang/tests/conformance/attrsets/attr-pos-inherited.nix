let y = 1; s = { inherit y; }; p = builtins.unsafeGetAttrPos "y" s; in [ p.line p.column ]
