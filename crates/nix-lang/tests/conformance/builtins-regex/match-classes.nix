[ (builtins.match "[[:alpha:]]+([[:digit:]]+)" "abc123") (builtins.match "[^a-c]+" "xyz") (builtins.match "[]a]+" "]a") (builtins.match "[a-]+" "a-") ]
