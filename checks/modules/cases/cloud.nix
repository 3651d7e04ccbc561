# Clouds: what is derived, what is refused.
{ lib, mkCloud, ... }:
let
  cloud = modules: mkCloud { inherit modules; } { builder = "/hc"; };
  machine = extra: {
    cloud.name = "c";
    hosts.h = {
      networks.lan = { };
      machines.m = {
        image.rootfs = "/rootfs.erofs";
        command = [ "/bin/true" ];
      }
      // extra;
    };
  };
  spec = extra: (cloud [ (machine extra) ]).hosts.h.machines.m;
  refused = extra: message: {
    expr = cloud [ (machine extra) ];
    error = [
      "This cloud cannot be deployed"
      "- hosts\\.h\\.machines\\.m\\.${message}"
    ];
  };
  wrong = extra: option: {
    expr = cloud [ (machine extra) ];
    error = [ "A definition for option .hosts.h.machines.m.${option}. is not of type" ];
  };
in
{
  # Every field of hc-spec, with the values that its own defaults have too.
  whole = {
    expr = cloud [ (machine { }) ];
    expected = {
      name = "c";
      warnings = [ ];
      hosts.h = {
        spec = {
          schema = 1;
          cloud = "c";
          host = "h";
          networks.lan.mtu = 1500;
        };
        machines.m = {
          schema = 1;
          name = "m";
          host = "h";
          cloud = "c";
          kind = "container";
          image.rootfs = "/rootfs.erofs";
          command = [ "/bin/true" ];
          env = { };
          files = { };
          networks = [ "lan" ];
          limits = { };
          ready = {
            when = "started";
            timeoutSec = 30;
          };
          restart = {
            policy = "always";
            delayMs = 100;
            maxDelayMs = 60000;
          };
          stop = {
            timeoutSec = 10;
          };
          isolation = {
            userNamespace = true;
            addCapabilities = [ ];
            dropCapabilities = [ ];
            readOnlyRoot = false;
          };
        };
      };
    };
  };
  # What the host does for a machine is the host's, and not in the machine.
  reach = {
    expr =
      let
        host =
          (cloud [
            (machine {
              aliases = [ "www" ];
              ports = [
                {
                  host = 8080;
                  port = 80;
                }
              ];
              services.http.port = 80;
            })
            {
              hosts.h.allow = [ "m -> host:80" ];
              hosts.h.machines.still = {
                image.rootfs = "/rootfs.erofs";
                command = [ "/bin/true" ];
              };
            }
          ]).hosts.h;
      in
      {
        inherit (host.spec) allow machines;
        same = host.machines.m == spec { };
      };
    expected = {
      allow = [ "m -> host:80" ];
      machines.m = {
        aliases = [ "www" ];
        ports = [
          {
            host = 8080;
            port = 80;
            protocol = "tcp";
          }
        ];
        services.http = {
          port = 80;
          protocol = "tcp";
          priority = 0;
          weight = 0;
        };
      };
      same = true;
    };
  };
  memory-text = {
    expr = (spec { limits.memory = "256M"; }).limits.memory;
    expected = 268435456;
  };
  root-size = {
    expr = (spec { limits.rootSize = "2G"; }).limits.rootSize;
    expected = 2147483648;
  };
  memory-bytes = {
    expr = (spec { limits.memory = 1048576; }).limits.memory;
    expected = 1048576;
  };
  files = {
    expr = (spec {
      files."/a/.b".text = "x";
      files."/c" = {
        source = "/there";
        mode = "0600";
      };
    }).files;
    expected = {
      "/a/.b" = {
        text = "x";
        mode = "0644";
      };
      "/c" = {
        source = "/there";
        mode = "0600";
      };
    };
  };
  tcp = {
    expr =
      (spec {
        ready.when = "tcp";
        ready.port = 80;
      }).ready;
    expected = {
      when = "tcp";
      port = 80;
      timeoutSec = 30;
    };
  };
  user-number = {
    expr = (spec { user = 1000; }).user;
    expected = "1000";
  };
  no-network = {
    expr = (spec { networks = [ ]; }).networks;
    expected = [ ];
  };
  no-lan = {
    expr =
      (cloud [
        {
          cloud.name = "c";
          hosts.h.networks.dmz = { };
          hosts.h.machines.m = {
            image.rootfs = "/r";
            command = [ "x" ];
          };
        }
      ]).hosts.h.machines.m.networks;
    expected = [ ];
  };
  image-of-builder = {
    expr =
      let
        made = mkCloud {
          modules = [
            (machine { })
            ({ images, ... }: { hosts.h.machines.m.image = lib.mkForce images.minimal; })
          ];
        } { builder = "/hc"; };
      in
      builtins.match ".*-minimal/rootfs.erofs" made.hosts.h.machines.m.image.rootfs != null;
    expected = true;
  };
  # A module that stands for one machine gets the arguments of the cloud's modules.
  machine-module = {
    expr =
      (cloud [
        {
          cloud.name = "c";
          hosts.h.machines.m =
            { images, name, ... }:
            {
              image = images.debianWith { lock = "/own"; };
              command = [ name ];
            };
        }
      ]).hosts.h.machines.m.command;
    expected = [ "m" ];
  };
  warnings = {
    expr =
      (cloud [
        (machine { })
        { warnings = [ "mind the gap" ]; }
      ]).warnings;
    expected = [ "mind the gap" ];
  };
  demo = {
    expr = builtins.mapAttrs (_: m: m.networks) (cloud [ ../../../hosts/demo/cloud.nix ]).hosts.demo.machines;
    expected = {
      client = [ "lan" ];
      minimal = [ "lan" ];
      web = [ "lan" ];
    };
  };

  misspelt = {
    expr = cloud [ (machine { imgae = 1; }) ];
    error = [
      "The option .hosts.h.machines.m.imgae. does not exist"
      "Did you mean .hosts.h.machines.m.image."
    ];
  };
  no-command = refused { command = [ ]; } "command is empty: name a program";
  unknown-network = refused { networks = [ "dmz" ]; } "networks names dmz, which the host does not have";
  network-twice = refused {
    networks = [
      "lan"
      "lan"
    ];
  } "networks names a network twice";
  tcp-without-port = refused { ready.when = "tcp"; } "ready.port goes with ready.when = \"tcp\"";
  port-without-tcp = refused { ready.port = 80; } "ready.port goes with";
  little-memory = refused { limits.memory = 5; } "limits.memory must be at least 1 MiB";
  little-root = refused { limits.rootSize = "1M"; } "limits.rootSize must be whole pages, at least 32 MiB";
  little-cpu = refused { limits.cpus = 0; } "limits.cpus must be at least";
  bad-path = refused { files."/a/../b".text = ""; } "files has '/a/../b', which is not a plain absolute path";
  relative-path = refused { files."a".text = ""; } "files has 'a', which is not";
  bare-file = refused { files."/a" = { }; } "files has '/a', which needs either text or source";
  bad-variable = refused { env."A=B" = ""; } "env has 'A=B', which cannot name a variable";
  bad-mode = wrong { files."/a" = { text = ""; mode = "999"; }; } "files.\"/a\".mode";
  microvm = {
    expr =
      let
        inherit
          (spec {
            kind = "microvm";
            vm.memory = "512M";
          })
          kind
          vm
          ;
      in
      {
        inherit kind;
        vm = removeAttrs vm [
          "kernel"
          "initrd"
        ];
        kernel = builtins.match "/nix/store/[^/]*-linux/vmlinux" vm.kernel != null;
        initrd = builtins.match "/nix/store/[^/]*-initrd/initrd" vm.initrd != null;
      };
    expected = {
      kind = "microvm";
      vm = {
        memory = 536870912;
        vcpus = 1;
        layerSize = 8589934592;
        kernelParams = [ ];
      };
      kernel = true;
      initrd = true;
    };
  };
  vm-of-a-container = refused { vm.vcpus = 2; } "vm is for microVMs";
  limit-of-a-vm = refused {
    kind = "microvm";
    limits.memory = "1G";
  } "limits.memory is for containers: use vm.memory";
  isolation-of-a-vm = refused {
    kind = "microvm";
    isolation.userNamespace = false;
  } "isolation is for containers";
  small-vm = refused {
    kind = "microvm";
    vm.memory = "1M";
  } "vm.memory must be whole mebibytes, at least 64";
  small-layer = refused {
    kind = "microvm";
    vm.layerSize = 4096;
  } "vm.layerSize must be whole pages";
  much-balloon = refused {
    kind = "microvm";
    vm.balloon = "1G";
  } "vm.balloon must be at least 64 MiB, and no more than vm.memory";
  root-of-a-vm = refused {
    kind = "microvm";
    limits.rootSize = "1G";
  } "limits.rootSize is for containers: use vm.layerSize";
  command-of-a-kernel = refused {
    kind = "microvm";
    vm.kernelParams = [ "--" ];
  } "vm.kernelParams has '--'";
  no-processors = wrong {
    kind = "microvm";
    vm.vcpus = 0;
  } "vm.vcpus";
  bad-kind = wrong { kind = "vm"; } "kind";
  bad-memory = wrong { limits.memory = "lots"; } "limits.memory";
  cap-prefix = wrong { isolation.addCapabilities = [ "CAP_NET_ADMIN" ]; } "isolation.addCapabilities.*";
  bad-name = {
    expr = cloud [
      (machine { })
      { hosts.h.networks.LAN = { }; }
    ];
    error = [ "- hosts.h.networks: 'LAN' is not a name: use 1 to 63 lower-case letters" ];
  };
  all-at-once = {
    expr = cloud [
      (machine { command = [ ]; })
      {
        cloud.name = lib.mkForce "C";
        hosts.h.machines."-x" = {
          image.rootfs = "/r";
          command = [ "x" ];
        };
      }
    ];
    error = [
      "- cloud.name: 'C' is not a name"
      "- hosts.h.machines: '-x' is not a name"
      "- hosts.h.machines.m.command is empty"
    ];
  };
}
