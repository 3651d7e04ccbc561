{ inherit "a b"; }
