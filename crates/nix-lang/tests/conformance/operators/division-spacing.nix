let a = 4; in [ (a/ 2) (a / 2) ]
