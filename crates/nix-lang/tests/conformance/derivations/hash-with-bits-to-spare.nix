let
  last = "Hr8g6AqANb3xqX28eu1XnjK/3ab8Gv6TJSnkb1LezG9";
  of = args: (derivation ({ name = "x"; system = "s"; builder = "b"; } // args)).outPath;
in
[
  (of { outputHash = "sha256-${last}="; })
  (of { outputHash = "sha256:${last}="; outputHashMode = "recursive"; })
  (of { outputHash = "${last}="; outputHashAlgo = "sha256"; })
  (of { outputHash = "sha256-${last}"; })
  (builtins.convertHash { hash = "sha256-${last}="; toHashFormat = "sri"; })
]
