builtins.match "(a+)(b*)(c)?" "aab"
