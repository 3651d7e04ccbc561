# What a user changes: a patched library that others are built on, flags, a new package.
final: prev: {
  p00003 = prev.p00003.overrideAttrs (old: {
    patches = old.patches or [ ] ++ [ ./stdenv/local.patch ];
  });
  p00005 = prev.p00005.override { stdenv = final.stdenvNoCC; };
  p-own = final.callPackage (
    { stdenv, p00003 }:
    stdenv.mkDerivation {
      pname = "own";
      version = "1";
      buildInputs = [ p00003 ];
    }
  ) { };
}
