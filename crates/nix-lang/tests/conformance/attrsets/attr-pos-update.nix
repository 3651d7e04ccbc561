let s = { a = 1; } // { a = 2; }; in (builtins.unsafeGetAttrPos "a" s).column
