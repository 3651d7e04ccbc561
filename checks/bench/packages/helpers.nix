# Builders on top of mkDerivation, as languages have them.
{ lib }:
self:
let
  inherit (self) callPackage;
in
{
  buildModule = callPackage (
    { stdenv, interpreter }:
    lib.makeOverridable (
      {
        pname,
        version,
        propagates ? [ ],
        checkInputs ? [ ],
        doCheck ? true,
        ...
      }@args:
      stdenv.mkDerivation (
        removeAttrs args [ "propagates" "checkInputs" ]
        // {
          name = "${interpreter.pname}-${pname}-${version}";
          nativeBuildInputs = args.nativeBuildInputs or [ ] ++ [ interpreter ] ++ lib.optionals doCheck checkInputs;
          propagatedBuildInputs = propagates;
          installPhase = args.installPhase or ''
            ${interpreter}/bin/install --prefix=$out ${lib.concatMapStringsSep " " lib.escapeShellArg [ pname version ]}
          '';
          passthru = { isModule = true; } // args.passthru or { };
          meta = { platforms = lib.platforms.all; } // args.meta or { };
        }
      )
    )
  ) { };

  fetch = callPackage (
    { stdenvNoCC }:
    {
      urls,
      sha256,
      name ? baseNameOf (lib.head urls),
    }:
    stdenvNoCC.mkDerivation {
      inherit name urls;
      outputHash = sha256;
      outputHashAlgo = "sha256";
      outputHashMode = "flat";
      preferLocalBuild = true;
      builder = ./stdenv/fetch.sh;
    }
  ) { };
}
