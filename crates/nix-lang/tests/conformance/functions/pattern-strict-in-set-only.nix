({ a, ... }: 1) { a = throw "x"; }
