let x = 5; in { a.z = 3; a = rec { x = 1; y = x; }; }
