null - 1
