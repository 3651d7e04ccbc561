{ lib }:
{
  id = x: x;
  const = x: _: x;
  flip = f: a: b: f b a;
  pipe = value: functions: builtins.foldl' (x: f: f x) value functions;
  min = a: b: if a < b then a else b;
  max = a: b: if a < b then b else a;
  boolToString = b: if b then "true" else "false";
  importJSON = path: builtins.fromJSON (builtins.readFile path);
  warn = text: value: builtins.trace "warning: ${text}" value;

  isFunction = f: builtins.isFunction f || (f ? __functor && lib.trivial.isFunction (f.__functor f));
  functionArgs =
    f: if f ? __functor then f.__functionArgs or (lib.functionArgs (f.__functor f)) else builtins.functionArgs f;
  setFunctionArgs = f: args: {
    __functor = self: f;
    __functionArgs = args;
  };
}
