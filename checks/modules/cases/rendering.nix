# Options as pages to read. nixpkgs has other tools for that.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  inherit
    (lib.evalModules {
      modules = [
        {
          options.b.enable = lib.mkEnableOption "it";
          options.a = mkOption {
            type = types.attrsOf (types.submodule {
              options.size = mkOption {
                type = types.int;
                default = 3;
                example = {
                  x = 1;
                };
                description = "How large\n.it is.\n\n";
              };
            });
            description = "See {option}`b.enable`.";
            defaultText = lib.literalMD "what *you* like";
          };
          options.c = mkOption { internal = true; };
          options.d = mkOption {
            visible = false;
            type = types.submodule { options.e = mkOption { }; };
          };
        }
      ];
    })
    options
    ;
  shown = removeAttrs options [ "_module" ];
in
if !(lib ? optionsToMarkdown) then
  { }
else
  {
    markdown = {
      expr = lib.optionsToMarkdown shown;
      expected = builtins.concatStringsSep "\n" [
        "## `a`"
        ""
        "See `b.enable`."
        ""
        "*Type:* attribute set of (submodule)"
        ""
        "*Default:* what *you* like"
        ""
        "## `a.<name>.size`"
        ""
        "How large"
        ".it is."
        ""
        "*Type:* signed integer"
        ""
        "*Default:* `3`"
        ""
        "*Example:*"
        ""
        "```nix"
        "{"
        "  x = 1;"
        "}"
        "```"
        ""
        "## `b.enable`"
        ""
        "Whether to enable it."
        ""
        "*Type:* boolean"
        ""
        "*Default:* `false`"
        ""
        "*Example:* `true`"
        ""
      ];
    };
    man = {
      expr = lib.optionsToMan shown;
      expected = builtins.concatStringsSep "\n" [
        ".TP"
        ".B a"
        "See `b.enable`."
        ".br"
        "Type: attribute set of (submodule)"
        ".br"
        "Default: what *you* like"
        ".TP"
        ".B a.<name>.size"
        "How large"
        "\\&.it is."
        ".br"
        "Type: signed integer"
        ".br"
        "Default: 3"
        ".TP"
        ".B b.enable"
        "Whether to enable it."
        ".br"
        "Type: boolean"
        ".br"
        "Default: false"
        ""
      ];
    };
  }
