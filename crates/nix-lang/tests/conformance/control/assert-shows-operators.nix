let a = 1; b = 2; in assert !(a + b * 2 - 3 / 1 >= 0); 1
