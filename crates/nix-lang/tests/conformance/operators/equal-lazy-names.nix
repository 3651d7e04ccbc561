{ a = throw "a"; } == { b = 1; }
