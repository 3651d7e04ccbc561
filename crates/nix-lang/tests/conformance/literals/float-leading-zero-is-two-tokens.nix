let f = x: y: [ x y ]; in f 0 .5
