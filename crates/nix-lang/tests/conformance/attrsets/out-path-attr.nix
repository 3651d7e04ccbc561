[ (toString { outPath = "a"; }) "${{ outPath = { outPath = "b"; }; }}" ]
