builtins.fromTOML "a = \"\"\"\nx\\\n   y\"\"\"\nb = '''\nq'''\nc = \"\\u00e9\""
