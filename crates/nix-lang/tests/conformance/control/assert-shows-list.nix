assert builtins.elem 1 [ 2 3 "a" null ]; 1
