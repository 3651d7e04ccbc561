# NixOS module: a host of a cloud.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.hc;
in
{
  options.services.hc = {
    enable = lib.mkEnableOption "the hc agent, which runs this host's machines";
    package = mkOption {
      type = types.package;
      description = "The hc to use.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    boot.kernelModules = [
      "erofs"
      "overlay"
    ];
    systemd.services.hc = {
      description = "hc agent";
      documentation = [ "man:hc-agent(1)" ];
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      path = [ pkgs.nftables ];
      serviceConfig = {
        Type = "exec";
        ExecStart = "${cfg.package}/bin/hc agent";
        Restart = "always";
        # Machines outlive the agent: a restart or an upgrade of it never touches them.
        KillMode = "process";
        Delegate = true;
        StateDirectory = "hc";
        RuntimeDirectory = "hc";
        RuntimeDirectoryPreserve = true;
        LimitNOFILE = 524288;
        TasksMax = "infinity";
      };
    };
  };
}
