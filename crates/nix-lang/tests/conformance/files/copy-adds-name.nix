"a" + ./data/text.txt
