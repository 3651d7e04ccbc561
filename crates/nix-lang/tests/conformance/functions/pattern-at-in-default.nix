({ a ? all.b, ... }@all: a) { b = 5; }
