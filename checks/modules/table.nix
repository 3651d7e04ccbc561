# The test cases, by file and name. A case is { expr, expected }, compared as JSON, or
# { expr, error }: a list of regular expressions that its error message matches.
{
  lib ? import ../../modules/lib,
}:
let
  hc = import ../../modules {
    inherit lib;
    imagesDir = ./images;
  };
  args = {
    inherit lib;
    inherit (hc) mkCloud;
    # Most cases look at nothing but the values.
    config = modules: (lib.evalModules { inherit modules; }).config;
    # Options written as `name = type` are enough where only the type matters.
    typed = type: values: (args.config (
      [ { options.it = lib.mkOption { inherit type; }; } ] ++ map (it: { inherit it; }) values
    )).it;
  };
  files = builtins.attrNames (builtins.readDir ./cases);
  cases = builtins.listToAttrs (
    map (file: {
      name = builtins.substring 0 (builtins.stringLength file - 4) file;
      value = import (./cases + "/${file}") args;
    }) files
  );
  namesWhere = keep: file: builtins.filter (name: keep cases.${file}.${name}) (builtins.attrNames cases.${file});
in
{
  inherit cases;
  files = builtins.attrNames cases;
  values = builtins.mapAttrs (file: _: namesWhere (case: case ? expected) file) cases;
  errors = builtins.mapAttrs (file: _: namesWhere (case: case ? error) file) cases;
  # Empty, or what differs.
  check =
    file: name:
    let
      case = cases.${file}.${name};
      got = builtins.toJSON case.expr;
      expected = builtins.toJSON case.expected;
    in
    if got == expected then "" else "${name}: got ${got} instead of ${expected}";
}
