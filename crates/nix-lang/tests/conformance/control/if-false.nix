if false then throw "x" else 2
