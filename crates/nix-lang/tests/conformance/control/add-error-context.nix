builtins.addErrorContext "while testing" 1
