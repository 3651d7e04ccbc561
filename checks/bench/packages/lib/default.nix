# A library in the shape of nixpkgs': parts that know each other through a fixpoint.
let
  fix = f: let x = f x; in x;
  parts = self: {
    trivial = import ./trivial.nix { lib = self; };
    lists = import ./lists.nix { lib = self; };
    attrsets = import ./attrsets.nix { lib = self; };
    strings = import ./strings.nix { lib = self; };
    fixedPoints = import ./fixed-points.nix { lib = self; };
    customisation = import ./customisation.nix { lib = self; };
    meta = import ./meta.nix { lib = self; };
    systems = import ./systems.nix { lib = self; };
    licenses = import ./licenses.nix { lib = self; };
    platforms = self.systems.platforms;

    inherit (self.trivial) id const flip pipe isFunction functionArgs setFunctionArgs min max boolToString importJSON warn;
    inherit (self.lists) foldl' foldr optional optionals range flatten unique toList take last remove imap0 concatLists concatMap any all elem head tail length filter map partition sort zipListsWith;
    inherit (self.attrsets) optionalAttrs mapAttrs mapAttrsToList filterAttrs genAttrs genAttrs' isDerivation recursiveUpdate attrByPath setAttrByPath mapAttrs' nameValuePair recurseIntoAttrs getOutput getBin getDev getLib attrNames attrValues;
    inherit (self.strings) concatStringsSep concatMapStringsSep concatStrings optionalString hasPrefix hasSuffix removePrefix escapeShellArg escapeShellArgs fixedWidthNumber splitString versionOlder versionAtLeast getName getVersion makeBinPath makeSearchPath toUpper replaceStrings stringLength substring;
    inherit (self.fixedPoints) fix extends composeExtensions composeManyExtensions makeExtensible;
    inherit (self.customisation) makeOverridable callPackageWith makeScope overrideDerivation;
    inherit (self.meta) dontDistribute addMeta setPrio hiPrio lowPrio availableOn;
  };
in
fix parts
