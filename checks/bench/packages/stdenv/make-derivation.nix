# mkDerivation: a fixpoint over its own attributes, dependencies by where they are needed, checks
# of what a package says about itself.
{ lib, platform, config }:
stdenv:
let
  check = import ./check-meta.nix { inherit lib platform config; };

  chosen = output: map (dependency: if dependency == null then null else lib.getOutput output dependency);

  simple =
    args:
    let
      outputs = args.outputs or [ "out" ];
      name = args.name or "${args.pname}-${args.version}";
      native = chosen "dev" (lib.flatten (args.nativeBuildInputs or [ ]));
      inputs = chosen "dev" (lib.flatten (args.buildInputs or [ ]));
      propagated = chosen "dev" (lib.flatten (args.propagatedBuildInputs or [ ]));
      hardening = lib.remove null (lib.unique (args.hardening or [ "stack" "format" "relro" ]));

      attrs =
        removeAttrs args [ "meta" "passthru" "hardening" "checkInputs" ]
        // {
          inherit name outputs;
          inherit (platform) system;
          inherit stdenv;
          __ignoreNulls = true;
          builder = args.builder or stdenv.shell;
          args = [ "-e" args.script or ./setup.sh ];
          nativeBuildInputs = native;
          buildInputs = inputs ++ lib.optionals (args.doCheck or false) (args.checkInputs or [ ]);
          propagatedBuildInputs = propagated;
          strictDeps = args.strictDeps or false;
          configureFlags = args.configureFlags or [ ] ++ [ "--build=${platform.config}" ];
          patches = args.patches or [ ];
          doCheck = args.doCheck or false && platform.isLinux;
          ${if hardening == [ ] then null else "NIX_HARDENING_ENABLE"} = lib.concatStringsSep " " hardening;
        };
      stdenv' = stdenv;
      attrs' = attrs // {
        stdenv = stdenv'.setup;
      };
      meta = check.meta args name outputs;
      validity = check.validity meta name;
      made = derivation attrs';
      extend = package: package // {
        inherit meta;
        passthru = args.passthru or { };
        inherit (args) pname;
        version = args.version or "";
        outputSpecified = false;
        overrideAttrs = _: made;
      };
    in
    if validity.ok then extend (made // args.passthru or { }) else throw validity.reason;

  named = args: { pname = (builtins.parseDrvName args.name or "").name; } // args;

  fixed =
    f:
    let
      args = named (f (args // { finalPackage = package; }));
      package = simple args // {
        overrideAttrs =
          change:
          fixed (
            final:
            let
              old = f final;
              new = if lib.isFunction change then change else _: change;
              first = new final;
            in
            old // (if lib.isFunction first then first old else new old)
          );
      };
    in
    package;
in
f: if builtins.isFunction f then fixed f else fixed (_: f)
