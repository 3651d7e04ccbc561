[ (builtins.tryEval (throw "a")).success (builtins.tryEval [ (throw "a") ]).success ]
