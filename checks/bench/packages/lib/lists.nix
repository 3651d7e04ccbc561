{ lib }:
rec {
  inherit (builtins) foldl' concatLists concatMap any all elem head tail length filter map partition sort;
  foldr =
    op: nul: list:
    let
      len = length list;
      go = n: if n == len then nul else op (builtins.elemAt list n) (go (n + 1));
    in
    go 0;
  optional = condition: item: if condition then [ item ] else [ ];
  optionals = condition: items: if condition then items else [ ];
  range = first: last: if first > last then [ ] else builtins.genList (n: first + n) (last - first + 1);
  flatten = x: if builtins.isList x then concatMap flatten x else [ x ];
  unique = foldl' (done: item: if elem item done then done else done ++ [ item ]) [ ];
  toList = x: if builtins.isList x then x else [ x ];
  take = count: list: builtins.genList (builtins.elemAt list) (lib.min count (length list));
  last = list: builtins.elemAt list (length list - 1);
  remove = item: filter (other: other != item);
  imap0 = f: list: builtins.genList (n: f n (builtins.elemAt list n)) (length list);
  zipListsWith =
    f: a: b:
    builtins.genList (n: f (builtins.elemAt a n) (builtins.elemAt b n)) (lib.min (length a) (length b));
}
