builtins.split "(b)?" "abb"
