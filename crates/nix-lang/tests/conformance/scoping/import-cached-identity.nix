let f = import ./data/lambda.nix; g = import ./data/lambda.nix; in [ f ] == [ g ]
