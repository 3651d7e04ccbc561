with { }; with 1; x
