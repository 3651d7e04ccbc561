({ zeta, alpha }: 1) { }
