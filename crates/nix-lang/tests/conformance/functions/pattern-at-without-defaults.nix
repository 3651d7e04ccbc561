({ a ? 1, b ? 2 }@all: all) { a = 3; }
