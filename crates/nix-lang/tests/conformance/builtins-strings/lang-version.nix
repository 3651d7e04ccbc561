[ builtins.langVersion builtins.storeDir ]
