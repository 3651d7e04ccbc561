{
  to = builtins.toJSON { a = [ 1 2.5 null true "x\"\n\u" ]; b = { __toString = s: "str"; }; c = { outPath = "out"; other = 1; }; big = 1.0e100; small = 1.5e-7; e = { }; l = [ ]; };
  from = builtins.fromJSON ''{"a": [1, 2.5, null, true, "x\u00e4\n"], "b": {"c": {}}, "n": -5, "e": 1e3}'';
  types = map builtins.typeOf (builtins.fromJSON "[1, 1.0, 9223372036854775807]");
  toml = builtins.fromTOML ''
    title = "x"
    n = 42
    f = 1.5
    list = [1, 2]
    [table.sub]
    a = true
    [[arr]]
    b = 1
    [[arr]]
    b = 2
  '';
  xml = builtins.toXML { a = 1; b = [ "x<&>\"" null true 1.5 ]; f = { x, y ? 1, ... }@z: 1; g = q: q; e = [ ]; };
}
