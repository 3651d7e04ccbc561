# What the types cannot say: names, and options that depend on each other. hc checks the same
# again when it reads the result; here the message can name the option.
{ config, lib, ... }:
let
  inherit (lib)
    concatLists
    concatStringsSep
    filter
    mapAttrsToList
    ;

  mebibyte = 1024 * 1024;

  isName = name: builtins.match "[a-z]([a-z0-9-]{0,61}[a-z0-9])?" name != null;
  named = where: name: {
    assertion = isName name;
    message = "${where}: '${name}' is not a name: use 1 to 63 lower-case letters, digits and '-', starting with a letter and not ending with '-'";
  };
  namesOf = where: set: map (named where) (builtins.attrNames set);

  # Absolute, without `.`, `..` or empty parts.
  isPlainPath = path: builtins.match "(/([^./][^/]*|\\.[^./][^/]*|\\.\\.[^/]+))+" path != null;

  ofMachine =
    where: networks: machine:
    let
      check = option: assertion: problem: {
        inherit assertion;
        message = "${where}.${option} ${problem}";
      };
      unknown = filter (network: !(networks ? ${network})) machine.networks;
      inherit (machine) limits ready;
      inherit (machine) kind image;
    in
    [
      (check "vm" (kind == "microvm" || machine.vm == null) "is for microVMs: set kind = \"microvm\"")
      (check "q35" (kind == "q35" || machine.q35 == null) "is for PCs: set kind = \"q35\"")
      (check "image" (
        kind != "container" || image.disk == null
      ) "is a disk, which virtual machines run from")
      (check "image" (image.disk == null || image.rootfs == null) "is a root file system or a disk, not both")
      (check "image" (kind == "q35" || image.rootfs != null || image.disk != null) "is missing: name what the machine runs from, such as images.debian")
      (check "command" (
        if machine.command == [ ] then
          kind == "q35" || image.manifest != null || image.disk != null
        else
          builtins.head machine.command != ""
      ) "is empty: name a program in the image")
      (check "networks" (
        unknown == [ ]
      ) "names ${concatStringsSep ", " unknown}, which the host does not have: add it to the host's `networks`, or take it out here")
      (check "networks" (
        builtins.length machine.networks
        == builtins.length (builtins.attrNames (lib.genAttrs machine.networks (_: null)))
      ) "names a network twice")
      (check "ready.port" (
        (ready.when == "tcp" || ready.when == "http") == (ready.port != null)
      ) "goes with ready.when = \"tcp\" or \"http\", and only with them")
      (check "ready.path" (
        (ready.when == "http") == (ready.path != null)
      ) "goes with ready.when = \"http\", and only with it")
      (check "ready.command" (
        (ready.when == "command") == (ready.command != [ ])
      ) "goes with ready.when = \"command\", and only with it")
      (check "health" (
        machine.health == null
        || (
          if machine.health.command != [ ] then
            machine.health.port == null && machine.health.path == null
          else
            machine.health.port != null
        )
      ) "needs either a command, or a port and maybe a path")
      (check "limits.swap" (
        limits.swap == null || limits.memory != null
      ) "goes with limits.memory, and only with it")
      (check "ready.port" (ready.port != 0) "is 0, which nothing can listen on")
      (check "limits.memory" (
        limits.memory == null || limits.memory >= mebibyte
      ) "must be at least 1 MiB")
      (check "limits.cpus" (limits.cpus == null || limits.cpus >= 0.01) "must be at least 0.01")
      (check "limits.rootSize" (
        limits.rootSize == null || isLayer limits.rootSize
      ) "must be whole pages, at least 32 MiB")
    ]
    ++ {
      container = [ ];
      microvm = ofVm check machine;
      q35 = ofQ35 check machine;
    }.${kind}
    ++ mapAttrsToList (
      name: volume: check "volumes.${name}.size" (volume.size >= 300 * mebibyte) "must be at least 300M; what is not written takes no room"
    ) machine.volumes
    ++ mapAttrsToList (
      name: _: check "env" (builtins.match "[^=]+" name != null) "has '${name}', which cannot name a variable"
    ) machine.env
    ++ concatLists (
      mapAttrsToList (path: file: [
        (check "files" (isPlainPath path) "has '${path}', which is not a plain absolute path")
        (check "files" (
          (file.text == null) != (file.source == null)
        ) "has '${path}', which needs either text or source")
      ]) machine.files
    );

  # The file system that keeps what is written over an image.
  isLayer = bytes: bytes >= 32 * mebibyte && lib.mod bytes 4096 == 0;

  notShared =
    check: option: given: what:
    check option (!given) "is for containers: a virtual machine has its own kernel, and none of the host's ${what}";

  noIsolation =
    check:
    { isolation, ... }:
    check "isolation" (
      isolation.userNamespace
      && isolation.addCapabilities == [ ]
      && isolation.dropCapabilities == [ ]
      && !isolation.readOnlyRoot
    ) "is for containers: a virtual machine has its own kernel";

  ofVm =
    check: machine:
    let
      inherit (machine) limits vm;
    in
    [
      (noIsolation check machine)
      (notShared check "binds" (machine.binds != { }) "files; lay `files`, use `volumes`, or copy with `hc cp`")
      (notShared check "devices" (machine.devices != { }) "devices")
      (notShared check "limits.swap" (limits.swap != null) "swap")
      (check "volumes" (
        builtins.length (builtins.attrNames machine.volumes) <= 8
      ) "has more than 8, which is all that a virtual machine has room for")
      (check "limits.memory" (limits.memory == null) "is for containers: use vm.memory")
      (check "limits.pids" (limits.pids == null) "is for containers: a virtual machine has its own")
      (check "limits.rootSize" (limits.rootSize == null) "is for containers: use vm.layerSize")
      (check "vm.memory" (
        vm.memory >= 64 * mebibyte && lib.mod vm.memory mebibyte == 0
      ) "must be whole mebibytes, at least 64")
      (check "vm.layerSize" (isLayer vm.layerSize) "must be whole pages, at least 32 MiB")
      (check "vm.balloon" (
        vm.balloon == null || (vm.balloon >= 64 * mebibyte && vm.balloon <= vm.memory)
      ) "must be at least 64 MiB, and no more than vm.memory")
      (check "vm.kernelParams" (!builtins.elem "--" vm.kernelParams) "has '--', behind which is a command")
    ];

  ofQ35 =
    check: machine:
    let
      inherit (machine) image q35;
      foreign = option: given: check option (!given) "is for machines whose processes hc starts: what is on the disk decides";
    in
    [
      (noIsolation check machine)
      (foreign "image" (image.rootfs != null || image.manifest != null))
      (foreign "command" (machine.command != [ ]))
      (foreign "env" (machine.env != { }))
      (foreign "user" (machine.user != null))
      (foreign "workdir" (machine.workdir != null))
      (foreign "init" (machine.init != null))
      (foreign "files" (machine.files != { }))
      (foreign "stop.signal" (machine.stop.signal != null))
      (foreign "limits.pids" (machine.limits.pids != null))
      (check "limits.memory" (machine.limits.memory == null) "is for containers: use q35.memory")
      (check "limits.rootSize" (machine.limits.rootSize == null) "is for containers: use q35.diskSize")
      (check "ready.when" (machine.ready.when != "notify") "cannot be \"notify\": nothing inside knows hc; use \"tcp\"")
      (check "q35.memory" (
        q35.memory >= 64 * mebibyte && lib.mod q35.memory mebibyte == 0
      ) "must be whole mebibytes, at least 64")
      (check "q35.diskSize" (
        q35.diskSize != null || image.disk != null
      ) "is not given, and there is no image to go by")
      (check "q35.diskSize" (
        q35.diskSize == null || (q35.diskSize >= mebibyte && lib.mod q35.diskSize 512 == 0)
      ) "must be whole sectors, at least 1 MiB")
      (check "q35.media" (
        q35.media == [ ] || image.disk == null
      ) "is what an empty disk is installed from: take the image out")
      (check "q35.media" (builtins.length q35.media <= 4) "has more than 4 files")
      (check "q35.cloudInit" (
        q35.cloudInit == null || q35.windows == null
      ) "is for Linux, and q35.windows for Windows: choose one")
      (check "q35.windows" (
        q35.windows == null || q35.media != [ ]
      ) "answers a setup, which needs Windows' ISO in q35.media")
    ];

  ofHost =
    name: host:
    let
      where = "hosts.${name}";
    in
    namesOf "${where}.networks" host.networks
    ++ namesOf "${where}.machines" host.machines
    ++ concatLists (
      mapAttrsToList (machine: ofMachine "${where}.machines.${machine}" host.networks) host.machines
    );
in
{
  # Of a thousand machines' checks only those that fail become values of an option.
  assertions = filter (check: !check.assertion) (
    [ (named "cloud.name" config.cloud.name) ]
    ++ namesOf "hosts" config.hosts
    ++ concatLists (mapAttrsToList ofHost config.hosts)
  );
}
