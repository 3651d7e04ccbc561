{ lib, ... }:
{
  options.listed = lib.mkOption { type = lib.types.listOf lib.types.str; };
  config.listed = [ "here" ];
}
