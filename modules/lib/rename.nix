# Options that have another name now, another meaning, or none.
{
  basics,
  show,
  properties,
  options,
  types,
}:
let
  inherit (basics)
    any
    attrByPath
    elem
    filter
    foldl'
    getAttrFromPath
    map
    oldestSupportedReleaseIsAtLeast
    recursiveUpdate
    setAttrByPath
    ;
  inherit (options.public) mkOption;
  inherit (properties.public)
    mkAliasAndWrapDefinitions
    mkAliasAndWrapDefsWithPriority
    mkIf
    mkMerge
    ;
  inherit (show) showFiles showOption;

  # Stands for the value of an old option that nobody defines.
  unset = "_mkMergedOptionModule";
in
rec {
  doRename =
    {
      from,
      to,
      visible,
      warn,
      use,
      withPriority ? true,
      condition ? true,
    }:
    { config, options, ... }:
    let
      old = getAttrFromPath from options;
      new = attrByPath to { } options;
    in
    {
      options = setAttrByPath from (mkOption {
        inherit visible;
        description = "Alias of {option}`${showOption to}`.";
        type = new.type or (types.submodule { });
        apply =
          _:
          use (attrByPath to (abort "Renaming error: option `${showOption to}' does not exist.") config);
      });
      config = mkIf condition (mkMerge [
        (
          if options ? warnings then
            {
              warnings =
                if warn && old.isDefined then
                  [
                    "The option `${showOption from}' defined in ${showFiles old.files} has been renamed to `${showOption to}'."
                  ]
                else
                  [ ];
            }
          else
            { }
        )
        ((if withPriority then mkAliasAndWrapDefsWithPriority else mkAliasAndWrapDefinitions)
          (setAttrByPath to)
          old
        )
      ]);
    };

  mkAliasOptionModule =
    from: to:
    doRename {
      inherit from to;
      visible = true;
      warn = false;
      use = value: value;
    };
  mkAliasOptionModuleMD = mkAliasOptionModule;

  mkRenamedOptionModule =
    from: to:
    doRename {
      inherit from to;
      visible = false;
      warn = true;
      use = builtins.trace "Obsolete option `${showOption from}' is used. It was renamed to `${showOption to}'.";
    };

  # Nobody is told as long as a release is supported that knows the old name only.
  mkRenamedOptionModuleWith =
    {
      from,
      to,
      sinceRelease,
    }:
    let
      warn = oldestSupportedReleaseIsAtLeast sinceRelease;
    in
    doRename {
      inherit from to warn;
      visible = false;
      use =
        if warn then
          show.warn "Obsolete option `${showOption from}' is used. It was renamed to `${showOption to}'."
        else
          value: value;
    };

  mkRemovedOptionModule =
    name: instead:
    { options, ... }:
    let
      option = getAttrFromPath name options;
    in
    {
      options = setAttrByPath name (mkOption {
        visible = false;
        apply =
          _:
          throw "The option `${showOption name}' can no longer be used since it's been removed. ${instead}";
      });
      config.assertions = [
        {
          assertion = !option.isDefined;
          message = ''
            The option definition `${showOption name}' in ${showFiles option.files} no longer has any effect; please remove it.
            ${instead}
          '';
        }
      ];
    };

  mkMergedOptionModule =
    from: to: merge:
    { config, options, ... }:
    let
      used = filter (path: getAttrFromPath path config != unset) from;
    in
    {
      options = foldl' (
        all: path:
        recursiveUpdate all (
          setAttrByPath path (mkOption {
            visible = false;
            default = unset;
          })
        )
      ) { } from;
      config = {
        warnings = map (
          path:
          "The option `${showOption path}' defined in ${showFiles (getAttrFromPath path options).files} has been changed to `${showOption to}' that has a different type. Please read `${showOption to}' documentation and update your configuration accordingly."
        ) used;
      }
      // setAttrByPath to (mkMerge (if used == [ ] then [ ] else [ (merge config) ]));
    };

  mkChangedOptionModule = from: mkMergedOptionModule [ from ];
}
