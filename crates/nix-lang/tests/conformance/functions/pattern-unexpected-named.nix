let f = { alpha, beta }: 1; in f { alpha = 1; beta = 2; gamma = 3; betaa = 4; }
