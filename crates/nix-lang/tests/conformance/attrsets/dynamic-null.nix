{ ${null} = throw "x"; a = 1; }
