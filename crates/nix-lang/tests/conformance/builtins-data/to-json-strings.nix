builtins.toJSON "a\"b\\c\n\t\r/é☃"
