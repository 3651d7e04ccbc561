# An empty match may follow one that reaches the end of the text.
[
  (builtins.split "[[:space:]]*" "  pad ")
  (builtins.split "x*" "x")
  (builtins.split "x*" "")
  (builtins.split "a" "ba")
  (builtins.split "(a*)" "baa")
]
