builtins.hashFile "x" ./data/text.txt
