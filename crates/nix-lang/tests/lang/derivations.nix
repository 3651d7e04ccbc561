let
  base = { builder = "/bin/sh"; system = "x86_64-linux"; };
  mk = attrs: derivation (base // attrs);
  paths = d: map (o: { inherit (o) outPath drvPath outputName; }) d.all;
  dep = mk { name = "dep"; };
  fixed = mk { name = "fixed.tar.gz"; outputHash = "0c4vsfrkzmqc73xfrmz1zqrggw3dq0zq1mp3ahvhvgvjbgmn3r9q"; outputHashAlgo = "sha256"; outputHashMode = "flat"; url = "http://example.org/x"; };
  sri = mk { name = "sri"; outputHash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="; outputHashMode = "recursive"; };
  sha1 = mk { name = "old"; outputHash = "da39a3ee5e6b4b0d3255bfef95601890afd80709"; outputHashAlgo = "sha1"; };
  file = builtins.toFile "conf" "hello";
in map paths [
  dep fixed sri sha1
  (mk { name = "args"; args = [ "-c" "echo ${dep}" 5 null true ]; })
  (mk { name = "env"; n = 1; f = 1.5; t = true; no = null; list = [ "a" "b" [ "c" ] ]; s = "x\ny\"z\\"; inherit file; })
  (mk { name = "outs"; outputs = [ "out" "dev" "man" ]; })
  (mk { name = "uses-outs"; x = (mk { name = "outs"; outputs = [ "out" "dev" "man" ]; }).dev; y = fixed; z = sha1; })
  (mk { name = "nulls"; __ignoreNulls = true; gone = null; kept = 1; })
  (mk { name = "structured"; __contentAddressed = false; __structuredAttrs = true; list = [ 1 2 ]; set = { a = dep; n = null; }; outputs = [ "out" "lib" ]; args = [ "x" ]; f = 0.5; })
  (mk { name = "pass"; passAsFile = [ "text" ]; text = "lots of text"; })
  (mk { name = "deep"; drv = dep.drvPath; })
  (mk { name = "nodep"; drv = builtins.unsafeDiscardOutputDependency dep.drvPath; })
  (mk { name = "src"; src = ./data; single = ./data/a.txt; })
  (mk { name = "filtered"; src = builtins.filterSource (p: t: baseNameOf p != "b.txt") ./data; })
  (mk { name = "path"; src = builtins.path { path = ./data; name = "renamed"; filter = p: t: t == "directory" || builtins.match ".*\\.txt" p != null; }; flat = builtins.path { path = ./data/a.txt; recursive = false; }; })
  (mk { name = "place"; out = placeholder "out"; p = "${placeholder "out"}/bin"; })
  (mk { name = "to-string"; a = { __toString = _: "s"; }; b = { outPath = "${dep}"; }; })
  (mk { name = "fetch"; builder = "builtin:fetchurl"; system = "builtin"; url = "http://example.org/a.deb"; outputHash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="; outputHashMode = "flat"; preferLocalBuild = true; impureEnvVars = [ "http_proxy" ]; })
  (mk { name = "plain"; __contentAddressed = false; __impure = false; __structuredAttrs = false; })
  (mk { name = "plain"; __structuredAttrs = true; x = "a${dep}"; empty = { }; nested.deep = [ 1.5 true ]; __ignoreNulls = true; n = null; })
  (mk { name = "uid"; requiredSystemFeatures = [ "uid-range" ]; args = [ "builder" "image" ]; debs = [ fixed sri ]; })
]
