# The module system. Names and meaning are those of nixpkgs' `lib`, so that one option file
# evaluates under either; the code is ours, so that a cloud evaluates without fetching nixpkgs.
#
# Files are read when something in them is used: most evaluations use few of the plain functions.
let
  # `extend` as for package sets: modules get the extended library.
  make =
    extension:
    let
      basics = import ./basics.nix;
      show = import ./show.nix { inherit basics; };
      properties = import ./properties.nix { inherit basics; };
      options = import ./options.nix {
        inherit
          basics
          show
          properties
          types
          ;
      };
      declarations = import ./declarations.nix {
        inherit
          basics
          show
          options
          types
          ;
        inherit (types) submoduleWith;
      };
      tree = import ./tree.nix {
        inherit
          basics
          show
          properties
          options
          declarations
          ;
      };
      types = import ./types {
        inherit
          basics
          show
          properties
          options
          modules
          tree
          declarations
          ;
      };
      modules = import ./modules.nix {
        inherit
          basics
          show
          properties
          options
          types
          tree
          lib
          ;
      };
      rename = import ./rename.nix {
        inherit
          show
          properties
          options
          types
          ;
        basics = lib;
      };
      generators = import ./generators.nix { inherit show; basics = lib; };
      docs = import ./docs.nix {
        inherit
          basics
          show
          options
          generators
          ;
      };

      ofModules = {
        inherit (modules) evalModules;
        inherit (options) mergeDefinitions;
        inherit (tree) evalOptionValue;
        inherit (declarations) fixupOptionType mergeOptionDecls;
        inherit (rename)
          doRename
          mkAliasOptionModule
          mkAliasOptionModuleMD
          mkChangedOptionModule
          mkMergedOptionModule
          mkRemovedOptionModule
          mkRenamedOptionModule
          mkRenamedOptionModuleWith
          ;
        inherit (modules)
          fixMergeModules
          importApply
          mergeAttrDefinitionsWithPrio
          setDefaultModuleLocation
          ;
      }
      // properties.public;
      ofOptions = {
        inherit (docs)
          optionAttrSetToDocList
          optionAttrSetToDocList'
          optionsToMan
          optionsToMarkdown
          renderOptionValue
          scrubOptionValue
          ;
      }
      // options.public;

      base =
        basics
        // ofModules
        // ofOptions
        // {
          inherit generators types;
          inherit (types)
            defaultFunctor
            defaultTypeMerge
            isOptionType
            isType
            mkOptionType
            setType
            ;
          modules = ofModules // {
            importJSON = file: {
              _file = file;
              config = lib.importJSON file;
            };
            importTOML = file: {
              _file = file;
              config = lib.importTOML file;
            };
          };
          options = ofOptions;
          extend = more: make (final: previous: let first = previous // extension final previous; in first // more final first);
        };
      lib = base // extension lib base;
    in
    lib;
in
make (_: _: { })
