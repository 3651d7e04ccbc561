builtins.lenght
