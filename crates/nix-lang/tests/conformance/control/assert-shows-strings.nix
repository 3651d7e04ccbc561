let a = "x"; in assert "a${a}b" != "axb"; 1
