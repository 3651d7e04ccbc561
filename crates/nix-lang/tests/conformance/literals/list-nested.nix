[ 1 "a" [ 2 ] { } null ]
