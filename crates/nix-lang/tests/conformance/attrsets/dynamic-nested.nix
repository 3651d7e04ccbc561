let n = "x"; in { a.${n}.b = 1; }
