{ a = x; b = 1; }.b
