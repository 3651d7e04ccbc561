(builtins.unsafeGetAttrPos "b" (builtins.functionArgs ({ a, b ? 1 }: 1))).column
