let try = x: builtins.tryEval x;
in {
  throw = try (throw "x");
  assert_ = try (assert false; 1);
  ok = try 5;
  lazy = (try { a = throw "inner"; }).success;
  again = let t = throw "twice"; in [ (try t).success (try t).success ];
  deep = (try (builtins.deepSeq [ (throw "x") ] 1)).success;
  searchPath = (try <surely-not-there>).success;
  nested = try (if (try (throw "a")).success then 1 else throw "b");
}
