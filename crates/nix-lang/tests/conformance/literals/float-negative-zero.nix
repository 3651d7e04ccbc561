[ (0.0 * (-1)) (builtins.toString (0.0 * (-1))) ]
