builtins.deepSeq { zzz1 = throw "z first"; aaa1 = throw "a first"; } 1
