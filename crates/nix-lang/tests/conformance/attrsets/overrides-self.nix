rec { x = 1; __overrides = { x = 2; }; y = x + 1; inherit (rec { z = x; }) z; }
