{ a = throw "a"; } == { a = 1; }
