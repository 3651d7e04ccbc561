map builtins.typeOf [ /a ./b <nix/fetchurl.nix> ]
