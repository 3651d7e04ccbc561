builtins.hashString "crc" "x"
