null <= 1
