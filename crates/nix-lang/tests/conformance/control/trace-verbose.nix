builtins.traceVerbose (throw "not evaluated") 1
