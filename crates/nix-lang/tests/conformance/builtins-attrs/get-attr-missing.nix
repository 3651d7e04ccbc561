builtins.getAttr "ab" { a = 1; abc = 2; }
