assert (x: y: { a ? 1, ... }@b: x.a.b or 3 ? c) == null -> false; 1
