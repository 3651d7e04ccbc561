[ 1 nope ]
