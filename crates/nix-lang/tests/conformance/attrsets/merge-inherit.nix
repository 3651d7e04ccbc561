let x = 1; s = { y = 2; }; in { a = { inherit x; }; a.z = 0; a = { inherit (s) y; }; }
