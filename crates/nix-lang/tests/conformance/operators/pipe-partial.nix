{ a = 1; } |> builtins.getAttr "a"
