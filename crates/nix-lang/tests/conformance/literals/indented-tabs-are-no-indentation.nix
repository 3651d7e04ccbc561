builtins.stringLength ''
	a
  b
''
