map builtins.toJSON [
  { __toString = _: /no/such/file; }
  { outPath = { __toString = _: /no/such/file; }; }
  { __toString = _: { outPath = /no/such/file; }; }
  [ { __toString = _: "text"; } ]
]
