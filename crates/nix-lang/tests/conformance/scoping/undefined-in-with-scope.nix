with nope; 1
