rec { a = "b"; ${a} = 1; }
