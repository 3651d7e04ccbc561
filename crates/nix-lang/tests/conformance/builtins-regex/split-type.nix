builtins.split "a" null
