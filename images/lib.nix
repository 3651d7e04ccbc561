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

  # An image of an archive: its manifest says how it is run.
  mkArchiveImage = args: mkImage args // { hasManifest = true; };

  # A file or directory that `hc image import` put into the store, by name and hash: it is not in the
  # flake, and not fetched.
  imported = { name, hash, recursive ? false }: derivation {
    inherit name;
    builder = "/bin/sh";
    args = [ "-c" "echo 'put it into the store with: hc image import FILE' >&2; exit 1" ];
    system = "x86_64-linux";
    outputHashMode = if recursive then "recursive" else "flat";
    outputHashAlgo = "sha256";
    outputHash = hash;
    preferLocalBuild = true;
    allowSubstitutes = true;
  };

  # Limits of an archive, where they are not the usual ones.
  limits = { maxSize ? null, maxEntries ? null }:
    (if maxSize == null then { } else { maxSize = toString maxSize; })
    // (if maxEntries == null then { } else { maxEntries = toString maxEntries; });

  # A root file system in a tar file, compressed or not.
  #
  #   src         the archive: a path of the flake, `imported { … }` or `fetch { … }`
  #   config      how it is run: { command = [ … ]; env = { … }; user, workdir, stopSignal = "…"; }
  #   maxSize     bytes it may unpack to; maxEntries files it may have
  tar = { builder, src, name ? "tar-rootfs", config ? { }, maxSize ? null, maxEntries ? null }:
    mkArchiveImage {
      inherit builder name;
      what = "tar-rootfs";
      attrs = { src = "${src}"; }
        // (if config == { } then { } else { config = builtins.toJSON config; })
        // limits { inherit maxSize maxEntries; };
    };

  # An OCI layout, a tar file of one, or what `docker save` writes.
  #
  #   src         as of `tar`; a layout may be a directory
  #   platform    of several the one to take; tag of several images the one
  oci = { builder, src, name ? "oci-rootfs", platform ? null, tag ? null, maxSize ? null, maxEntries ? null }:
    mkArchiveImage {
      inherit builder name;
      what = "oci-rootfs";
      attrs = { src = "${src}"; }
        // (if platform == null then { } else { inherit platform; })
        // (if tag == null then { } else { inherit tag; })
        // limits { inherit maxSize maxEntries; };
    };

  # A NixOS system that runs straight off the store: nothing is copied, the image is the places that
  # the paths of its closure are mounted on.
  #
  #   toplevel    config.system.build.toplevel, of a system with boot.isContainer
  nixos = { builder, toplevel, name ? "nixos-rootfs" }:
    mkArchiveImage {
      inherit builder name;
      what = "nixos-rootfs";
      attrs = {
        toplevel = "${toplevel}";
        exportReferencesGraph = [ "closure" "${toplevel}" ];
      };
    };

  # The packages of a lock file, as `hc image lock` writes it.
  readLock = path:
    let lock = builtins.fromJSON (builtins.readFile path);
    in
    if lock.schema or null == 1 then lock
    else throw "${toString path}: not a lock file of schema 1; write it again with `hc image lock`";

  # They themselves.
  debs = path:
    map (package: fetch { name = package.file; inherit (package) urls sha256; }) (readLock path).packages;
}
