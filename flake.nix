{
  description = "hc: containers, microVMs, Windows VMs and lambdas from Nix files";

  # For building hc and running the checks. A cloud needs only `lib`, and never fetches this.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      eachSystem =
        f:
        builtins.listToAttrs (
          map (system: {
            name = system;
            value = f nixpkgs.legacyPackages.${system};
          }) [ "x86_64-linux" ]
        );
      hcOf = pkgs: self.packages.${pkgs.stdenv.hostPlatform.system}.hc;
    in
    {
      lib = import ./modules { };

      nixosModules.default =
        { lib, pkgs, ... }:
        {
          imports = [ ./modules/nixos.nix ];
          services.hc.package = lib.mkDefault (hcOf pkgs);
        };

      packages = eachSystem (pkgs: rec {
        hc = pkgs.callPackage ./modules/package.nix { };
        default = hc;
      });

      # nix run .#deploy -- ./hosts/demo#demo
      apps = eachSystem (pkgs: {
        deploy = {
          type = "app";
          program = toString (
            pkgs.writeShellScript "hc-deploy" ''exec ${hcOf pkgs}/bin/hc deploy "$@"''
          );
          meta.description = "Evaluates a cloud, builds it and activates it";
        };
      });

      checks = eachSystem (pkgs: import ./checks { inherit pkgs nixpkgs self; });

      formatter = eachSystem (pkgs: pkgs.nixfmt-tree);
    };
}
