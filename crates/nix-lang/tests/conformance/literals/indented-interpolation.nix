let x = "one\n  two"; in ''
  start
    ${x}
  end ${x} end
''
