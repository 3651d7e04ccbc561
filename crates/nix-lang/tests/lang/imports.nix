{
  data = import ./imported/value.nix;
  dir = (import ./imported) 5;
  scoped = builtins.scopedImport { magic = 42; } ./imported/scoped.nix;
  read = builtins.readFile ./data/a.txt;
  dirList = builtins.readDir ./data;
  exists = map builtins.pathExists [ ./data ./nope ./data/a.txt ./data/nope/x ];
  hash = builtins.hashFile "sha256" ./data/a.txt;
  join = baseNameOf (./data + "/a.txt");
  interp = baseNameOf ./data/${"b" + ".txt"};
  find = baseNameOf (builtins.findFile [ { prefix = "d"; path = ./data; } ] "d/a.txt");
  pathEq = ./data/../data == ./data;
  parts = let p = builtins.toString ./data; in builtins.substring (builtins.stringLength p - 5) 5 p;
}
