let s = builtins.mapAttrs (n: v: s.${n} + 1) { a = 1; }; in s.a
