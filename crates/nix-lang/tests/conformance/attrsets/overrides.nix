rec { __overrides = { a = 10; c = 3; }; a = 1; b = a; }
