({ a, ... }@all: builtins.attrNames all) { a = 1; b = 2; }
