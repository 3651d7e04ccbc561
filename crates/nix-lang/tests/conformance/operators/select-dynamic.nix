let n = "b"; in { a.b = 1; }.a.${n}
