map toString [ 1 "a" true false null 1.5 [ 1 [ 2 [ ] ] "x" ] /p { outPath = "o"; } ]
