# docs/options.md: all options of a cloud, from what they say about themselves.
let
  lib = import ./lib;
  inherit (lib.evalModules { modules = [ ./cloud ]; }) options;
  debian = (lib.evalModules { modules = [ ./image/debian.nix ]; }).options;
in
''
  # Options

  Everything that can be said in a cloud, by name. This page is made from `modules/cloud` by `make docs`.

''
+ lib.optionsToMarkdown (removeAttrs options [ "_module" ])
+ ''
  # Arguments of `images.debianWith`

''
+ lib.optionsToMarkdown (removeAttrs debian [ "_module" ])
