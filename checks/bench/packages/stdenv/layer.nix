# From a seed to the environment that packages are built in, in stages: each one builds the next.
{ lib, platform, config }:
final: prev:
let
  make = import ./make-derivation.nix { inherit lib platform config; };

  seed = derivation {
    name = "seed";
    inherit (platform) system;
    builder = "/bin/sh";
    args = [ ./seed.sh ];
  };

  environment =
    {
      name,
      tools,
      previous,
    }:
    let
      self = {
        inherit name tools platform;
        mkDerivation = make self;
        shell = "${builtins.head tools}/bin/sh";
        setup = derivation {
          name = "stdenv-${name}";
          inherit (platform) system;
          builder = "${builtins.head tools}/bin/sh";
          args = [ ./setup.sh ];
          inherit tools;
          setup = ./setup.sh;
        };
        override = change: environment ({ inherit name tools previous; } // change);
      };
    in
    self;

  stage =
    previous: n:
    let
      tool =
        pname:
        previous.mkDerivation {
          inherit pname;
          version = "${toString n}.0";
          configureFlags = [ "--stage=${toString n}" ];
          meta.license = lib.licenses.gpl3;
        };
    in
    environment {
      name = "stage${toString n}";
      tools = map tool [ "shell" "compiler" "linker" "coreutils" "make" "sed" "grep" "tar" ];
      inherit previous;
    };
in
{
  bootstrap = environment { name = "bootstrap"; tools = [ seed ]; previous = null; };
  stdenv = builtins.foldl' stage final.bootstrap [ 1 2 3 ];
  stdenvNoCC = final.stdenv.override { name = "no-compiler"; tools = lib.take 1 final.stdenv.tools; };
}
