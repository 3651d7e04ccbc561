let
  drv = derivation { name = "d"; builder = "/bin/sh"; system = "x86_64-linux"; outputs = [ "out" "dev" ]; };
  file = builtins.toFile "f" "contents";
  b = builtins;
in {
  path = drv.drvPath;
  out = drv.outPath;
  dev = drv.dev.outPath;
  names = b.attrNames drv;
  all = map (x: x.outputName) drv.all;
  type = drv.type;
  eq = [ (drv == drv.out) (drv == drv.dev) ];
  ctx = b.getContext "${drv}${drv.dev}${file}";
  deep = b.getContext drv.drvPath;
  discard = b.getContext (b.unsafeDiscardStringContext "${drv}");
  depend = b.getContext (b.unsafeDiscardOutputDependency drv.drvPath);
  has = [ (b.hasContext "x") (b.hasContext "${drv}") ];
  append = b.getContext (b.appendContext "x" { ${b.unsafeDiscardStringContext drv.drvPath} = { outputs = [ "out" ]; }; });
  sub = b.getContext (b.substring 0 3 "${drv}");
  rep = b.getContext (b.replaceStrings [ "a" ] [ "${drv}" ] "bab");
  repUnused = b.getContext (b.replaceStrings [ "q" ] [ "${drv}" ] "bab");
  inherit file;
  fileRef = b.toFile "g" "refers to ${file}";
}
