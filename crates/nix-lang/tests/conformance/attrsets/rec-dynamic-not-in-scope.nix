let b = 10; in rec { ${"b"} = 1; c = b; }
