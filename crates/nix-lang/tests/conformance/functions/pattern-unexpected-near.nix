let f = { alpha, beta ? 1 }: 1; in f { alpha = 1; alphaa = 2; }
