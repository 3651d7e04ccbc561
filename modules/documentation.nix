# docs/options.md: all options of a cloud, from what they say about themselves.
let
  lib = import ./lib;
  inherit (lib.evalModules { modules = [ ./cloud ]; }) options;
in
''
  # Options

  Everything that can be said in a cloud, by name. This page is made from `modules/cloud` by `make docs`.

''
+ lib.optionsToMarkdown (removeAttrs options [ "_module" ])
