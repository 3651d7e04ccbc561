# How one machine starts, becomes ready, starts again and stops.
{ lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options = {
    ready = {
      when = mkOption {
        type = types.enum [
          "started"
          "notify"
          "tcp"
        ];
        default = "started";
        description = ''
          When it counts as ready: as soon as the command is `started`, when it sends `READY=1` to
          `NOTIFY_SOCKET` (`notify`, see sd_notify(3)), or when `port` takes a connection (`tcp`).
          Until then its names have no addresses, and a deploy waits.
        '';
      };
      port = mkOption {
        type = types.nullOr types.port;
        default = null;
        example = 80;
        description = "Port on the machine that is tried, with `when = \"tcp\"` and only with it.";
      };
      timeoutSec = mkOption {
        type = types.ints.positive;
        default = 30;
        description = "Seconds after which a deploy gives up on it and goes back.";
      };
    };

    restart = {
      policy = mkOption {
        type = types.enum [
          "always"
          "on-failure"
          "never"
        ];
        default = "always";
        description = "When to start it again after the command ended.";
      };
      delayMs = mkOption {
        type = types.ints.unsigned;
        default = 100;
        description = "Milliseconds before the first new start. They double with each quick failure.";
      };
      maxDelayMs = mkOption {
        type = types.ints.unsigned;
        default = 60000;
        description = "Most milliseconds between two starts.";
      };
    };

    stop = {
      signal = mkOption {
        type = types.nullOr (types.strMatching "[A-Z][A-Z0-9]*([+-][0-9]+)?");
        default = null;
        defaultText = lib.literalMD "the image's own, or `TERM`";
        example = "QUIT";
        description = "Signal that asks the command to end, without `SIG`.";
      };
      timeoutSec = mkOption {
        type = types.ints.unsigned;
        default = 10;
        description = "Seconds until everything left in it is killed.";
      };
    };
  };
}
