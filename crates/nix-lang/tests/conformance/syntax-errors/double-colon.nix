a:: b
