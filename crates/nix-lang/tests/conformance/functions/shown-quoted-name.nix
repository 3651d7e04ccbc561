{ "f g" = x: x; }."f g" + "x"
