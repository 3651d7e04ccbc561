1 ? ${throw "name"}
