throw "one
two"
