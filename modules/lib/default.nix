# The module system. Names and meaning are those of nixpkgs' `lib`, so that one option file
# evaluates under either; the code is ours, so that a cloud evaluates without fetching nixpkgs.
let
  basics = import ./basics.nix;
  show = import ./show.nix { inherit basics; };
  properties = import ./properties.nix { inherit basics; };
  options = import ./options.nix { inherit basics show properties types; };
  types = import ./types { inherit basics show properties options modules; };
  modules = import ./modules.nix { inherit basics show properties options types lib; };

  # What a module gets as `lib`.
  lib =
    basics
    // properties.public
    // options.public
    // {
      inherit (modules) evalModules;
      inherit types;
      inherit (show) showOption;
    };
in
lib
