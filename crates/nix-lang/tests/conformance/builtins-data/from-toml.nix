builtins.fromTOML ''
  title = "x"
  n = 1_000
  f = 1.5
  b = true
  hex = 0xff
  arr = [ 1, 2, [ "a" ] ]
  inline = { x = 1, y.z = 2 }
  [table]
  a.b = 'raw\n'
  [[things]]
  name = "one"
  [[things]]
  name = "two"
''
