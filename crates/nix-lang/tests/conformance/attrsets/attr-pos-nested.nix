let s = { a.b = 1; }; p = builtins.unsafeGetAttrPos "b" s.a; in [ p.line p.column ]
