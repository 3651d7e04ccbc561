let x1 = y: y; f = a: b: [ a b ]; in f 0 1
