with throw "x"; y
