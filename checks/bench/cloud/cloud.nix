{ images, ... }:
let
  debian = command: {
    image = images.debian;
    inherit command;
    restart.policy = "never";
  };
in
{
  cloud.name = "bench";

  hosts.bench = {
    networks.lan = { };
    machines = {
      # The whole life of a machine that does nothing.
      true = debian [ "/bin/true" ];

      # Says when it runs: the first thing `date` does is to read the clock.
      clock = debian [
        "/bin/date"
        "+%s%N"
      ];

      # Says that it waits, and ends at once when it is told to.
      waits = debian [
        "/bin/sh"
        "-c"
        "trap 'exit 0' TERM; echo waiting; sleep 1000 & wait $!"
      ];
    };
  };
}
