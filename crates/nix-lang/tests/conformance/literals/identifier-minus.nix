let a-b = 3; a = 10; b = 1; in [ a-b (a - b) ]
