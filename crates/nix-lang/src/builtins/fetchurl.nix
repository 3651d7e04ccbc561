# What `<nix/fetchurl.nix>` is: a derivation that the builder itself fetches, without a shell.
{
  url,
  name ? baseNameOf (toString url),
  hash ? "",
  sha512 ? "",
  sha256 ? "",
  sha1 ? "",
  md5 ? "",
  outputHash ? null,
  outputHashAlgo ? null,
  executable ? false,
  unpack ? false,
  impure ? false,
  system ? "",
}:
let
  known = kind: text: { inherit kind text; };
  # Of several hashes the first that is there counts; the last one is also what none means.
  given = builtins.filter (one: one.text != "") [
    (known "" hash)
    (known "sha512" sha512)
    (known "sha1" sha1)
    (known "md5" md5)
  ];
  choice = if given == [ ] then known "sha256" sha256 else builtins.head given;
  content =
    if impure then
      { __impure = true; }
    else
      {
        outputHash = if outputHash == null then choice.text else outputHash;
        outputHashAlgo = if outputHashAlgo == null then choice.kind else outputHashAlgo;
      };
in
derivation (
  content
  // {
    inherit
      url
      name
      executable
      unpack
      ;
    urls = [ url ];
    system = "builtin";
    builder = "builtin:fetchurl";
    outputHashMode = if executable || unpack then "recursive" else "flat";
    preferLocalBuild = true;
    impureEnvVars = map (scheme: scheme + "_proxy") [
      "http"
      "https"
      "ftp"
      "all"
      "no"
    ];
  }
)
