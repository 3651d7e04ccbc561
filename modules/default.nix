# The library of hc: the module system, and `mkCloud`, which makes a cloud of modules.
{
  # nixpkgs' `lib` fits too; the tests evaluate under both.
  lib ? import ./lib,
  imagesDir ? ../images,
}:
let
  # Images are derivations that hc itself builds, so they need to know which hc.
  archives = import (imagesDir + "/lib.nix");
  imagesFor = builder: rec {
    debian = import (imagesDir + "/debian.nix") { inherit builder; };
    debianWith =
      args:
      let
        inherit
          (lib.evalModules {
            modules = [
              ./image/debian.nix
              args
            ];
          })
          config
          ;
      in
      import (imagesDir + "/debian.nix") {
        inherit builder;
        inherit (config) lock name files;
        users = lib.mapAttrs (_: lib.filterAttrs (_: value: value != null)) config.users;
      };
    minimal = import (imagesDir + "/minimal.nix") { inherit builder; };
    tar = args: archives.tar ({ inherit builder; } // args);
    oci = args: archives.oci ({ inherit builder; } // args);
    nixos = toplevel: archives.nixos { inherit builder toplevel; };
    inherit (archives) imported;

    kernel = args: import (imagesDir + "/kernel.nix") ({ inherit builder; } // args);
    initrd = args: import (imagesDir + "/initrd.nix") ({ inherit builder; } // args);
    disk = args: import (imagesDir + "/disk.nix") ({ inherit builder; } // args);
    linux = kernel {
      name = "linux";
      lock = imagesDir + "/linux.lock.json";
    };
  };

  mkCloud =
    {
      modules,
      specialArgs ? { },
    }:
    { builder }:
    let
      evaluated = lib.evalModules {
        modules = [ ./cloud ] ++ modules;
        specialArgs = {
          # For derivations that hc builds, besides those of `images`.
          inherit builder;
          images = imagesFor builder;
        }
        // specialArgs;
      };
      inherit (evaluated) config;
      failed = lib.filter (check: !check.assertion) config.assertions;
    in
    if failed != [ ] then
      throw "This cloud cannot be deployed:${lib.concatMapStrings (check: "\n- ${check.message}") failed}"
    else
      import ./cloud/spec.nix { inherit lib config; };
in
lib // { inherit mkCloud; }
