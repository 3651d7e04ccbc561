# What the images share. No nixpkgs and no shell: hc is the builder, and Nix fetches.
rec {
  # One file by its SHA-256, from the first of `urls` that has it.
  fetch = { name, urls, sha256 }: derivation {
    inherit name urls;
    builder = "builtin:fetchurl";
    system = "builtin";
    # C++ Nix reads this one alone.
    url = builtins.head urls;
    outputHashMode = "flat";
    outputHashAlgo = "sha256";
    outputHash = sha256;
    preferLocalBuild = true;
  };

  # An image: a directory with `rootfs.erofs`, made by `hc builder ${what}`. `builder` is hc's
  # executable as a string with context; `attrs` is what that builder reads.
  mkImage = { builder, what, name, attrs ? { } }: derivation (attrs // {
    inherit name;
    builder = "${builder}";
    args = [ "builder" what ];
    system = "x86_64-linux";
  });

  # The packages of a lock file, as `hc image lock` writes it.
  readLock = path:
    let lock = builtins.fromJSON (builtins.readFile path);
    in
    if lock.schema or null == 1 then lock
    else throw "${toString path}: not a lock file of schema 1; write it again with `hc image lock`";
}
