let s = builtins.mapAttrs (n: v: v) { a = 1; }; in (builtins.unsafeGetAttrPos "a" s).column
