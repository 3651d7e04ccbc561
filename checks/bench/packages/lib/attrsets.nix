{ lib }:
rec {
  inherit (builtins) attrNames attrValues mapAttrs;
  optionalAttrs = condition: set: if condition then set else { };
  nameValuePair = name: value: { inherit name value; };
  mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
  mapAttrs' = f: set: builtins.listToAttrs (mapAttrsToList f set);
  filterAttrs = keep: set: removeAttrs set (builtins.filter (name: !keep name set.${name}) (attrNames set));
  genAttrs = names: f: builtins.listToAttrs (map (name: nameValuePair name (f name)) names);
  genAttrs' = items: f: builtins.listToAttrs (map f items);
  isDerivation = value: value.type or null == "derivation";
  recurseIntoAttrs = set: set // { recurseForDerivations = true; };

  attrByPath =
    path: default: set:
    if path == [ ] then
      set
    else if set ? ${builtins.head path} then
      attrByPath (builtins.tail path) default set.${builtins.head path}
    else
      default;
  setAttrByPath = path: value: if path == [ ] then value else { ${builtins.head path} = setAttrByPath (builtins.tail path) value; };

  recursiveUpdate =
    left: right:
    builtins.zipAttrsWith
      (
        name: values:
        if builtins.length values == 1 then
          builtins.head values
        else
          let
            old = builtins.elemAt values 0;
            new = builtins.elemAt values 1;
          in
          if builtins.isAttrs old && builtins.isAttrs new && !isDerivation new then recursiveUpdate old new else new
      )
      [
        left
        right
      ];

  getOutput = output: package: if package.outputSpecified or false then package else package.${output} or package.out or package;
  getBin = getOutput "bin";
  getDev = getOutput "dev";
  getLib = getOutput "lib";
}
