let inf = 1.0e300 * 1.0e300; in [ inf (-inf) (inf == inf) (toString inf) ]
