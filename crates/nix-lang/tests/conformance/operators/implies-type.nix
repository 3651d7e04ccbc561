true -> "a"
