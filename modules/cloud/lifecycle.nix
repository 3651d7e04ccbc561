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
          "http"
          "command"
        ];
        default = "started";
        description = ''
          When it counts as ready: as soon as the command is `started`, when it sends `READY=1` to
          `NOTIFY_SOCKET` (`notify`, see sd_notify(3)), when `port` takes a connection (`tcp`) or answers
          a request for `path` with a status of 200 to 399 (`http`), or when `command` ends with 0.
          Until then its names have no addresses, and a deploy waits.
        '';
      };
      port = mkOption {
        type = types.nullOr types.port;
        default = null;
        example = 80;
        description = "Port on the machine that is tried, with `when = \"tcp\"` or `\"http\"` and only with them.";
      };
      path = mkOption {
        type = types.nullOr (types.strMatching "/.*");
        default = null;
        example = "/healthz";
        description = "Path that is asked for, with `when = \"http\"` and only with it.";
      };
      command = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "/usr/bin/pg_isready" ];
        description = "Program and arguments run in the machine as its user, with `when = \"command\"` and only with it.";
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
      maxRestarts = mkOption {
        type = types.nullOr types.ints.positive;
        default = null;
        example = 5;
        description = ''
          Most new starts within `windowSec`. With one more it is `failed` and left alone, until `hc start` or a
          deploy that changes it. Any number when null.
        '';
      };
      windowSec = mkOption {
        type = types.nullOr types.ints.positive;
        default = null;
        defaultText = lib.literalMD "600";
        description = "Seconds within which new starts are counted, with `maxRestarts`.";
      };
    };

    health = mkOption {
      type = types.nullOr (
        types.submodule {
          options = {
            command = mkOption {
              type = types.listOf types.str;
              default = [ ];
              example = [ "/usr/bin/pg_isready" ];
              description = "Program and arguments run in the machine as its user; well when it ends with 0.";
            };
            port = mkOption {
              type = types.nullOr types.port;
              default = null;
              example = 80;
              description = "Port on the machine's own loopback; well when it takes a connection.";
            };
            path = mkOption {
              type = types.nullOr (types.strMatching "/.*");
              default = null;
              example = "/healthz";
              description = "Path asked for on `port` by HTTP; well when the answer's status is 200 to 399.";
            };
            intervalSec = mkOption {
              type = types.ints.positive;
              default = 10;
              description = "Seconds between two questions, and before the first.";
            };
            timeoutSec = mkOption {
              type = types.ints.positive;
              default = 5;
              description = "Seconds after which no answer is a bad one.";
            };
            failures = mkOption {
              type = types.ints.positive;
              default = 3;
              description = "How many bad answers in a row end the machine, for its `restart.policy` to decide.";
            };
          };
        }
      );
      default = null;
      example = {
        port = 80;
        path = "/healthz";
      };
      description = "How it is found out that it works no longer, once it is ready: a `command`, or a `port`.";
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
