let if = 1; in 1
