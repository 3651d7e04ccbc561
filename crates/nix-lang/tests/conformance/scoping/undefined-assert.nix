assert nope; 1
