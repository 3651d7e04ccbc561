builtins.builtins.length == builtins.length
