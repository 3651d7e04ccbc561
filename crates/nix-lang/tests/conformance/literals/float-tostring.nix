map toString [ 1.0 0.5 1.0e10 123456.789 1.0e-10 ]
