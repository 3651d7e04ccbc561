# Lists.
{ lib }:
let
  inherit (builtins)
    elem
    elemAt
    filter
    foldl'
    genList
    head
    length
    map
    sort
    tail
    ;
  inherit (lib) max min reverseList;
in
rec {
  singleton = x: [ x ];
  forEach = xs: f: map f xs;
  foldr =
    op: nul: xs:
    let
      n = length xs;
      go = i: if i == n then nul else op (elemAt xs i) (go (i + 1));
    in
    go 0;
  fold = foldr;
  foldl =
    op: nul: xs:
    let
      go = n: if n == 0 then nul else op (go (n - 1)) (elemAt xs (n - 1));
    in
    go (length xs);
  remove = x: filter (y: y != x);
  findFirstIndex =
    pred: default: xs:
    let
      n = length xs;
      go =
        i:
        if i == n then
          default
        else if pred (elemAt xs i) then
          i
        else
          go (i + 1);
    in
    go 0;
  findFirst =
    pred: default: xs:
    let
      i = findFirstIndex pred null xs;
    in
    if i == null then default else elemAt xs i;
  findSingle =
    pred: none: many: xs:
    let
      found = filter pred xs;
    in
    if found == [ ] then
      none
    else if length found == 1 then
      head found
    else
      many;
  ifilter0 =
    pred: xs:
    map (i: elemAt xs i) (filter (i: pred i (elemAt xs i)) (genList (i: i) (length xs)));
  count = pred: foldl' (n: x: if pred x then n + 1 else n) 0;
  init = xs: if xs == [ ] then throw "lists.init: list must not be empty!" else lib.take (length xs - 1) xs;
  takeEnd = n: xs: lib.drop (max 0 (length xs - n)) xs;
  dropEnd = n: xs: lib.take (max 0 (length xs - n)) xs;
  sublist =
    start: count: xs:
    genList (i: elemAt xs (start + i)) (max 0 (min count (length xs - start)));
  replicate = n: x: genList (_: x) n;
  hasPrefix = prefix: xs: lib.take (length prefix) xs == prefix;
  removePrefix =
    prefix: xs:
    if hasPrefix prefix xs then
      lib.drop (length prefix) xs
    else
      throw "lists.removePrefix: First argument is not a list prefix of the second argument";
  commonPrefix =
    a: b:
    let
      n = min (length a) (length b);
      go = i: if i < n && elemAt a i == elemAt b i then go (i + 1) else i;
    in
    lib.take (go 0) a;
  unique = foldl' (sofar: x: if elem x sofar then sofar else sofar ++ [ x ]) [ ];
  uniqueStrings = xs: builtins.attrNames (builtins.groupBy (x: x) xs);
  allUnique = xs: length (unique xs) == length xs;
  intersectLists = a: filter (x: elem x a);
  subtractLists = a: filter (x: !elem x a);
  mutuallyExclusive = a: b: length a == 0 || !builtins.any (x: elem x a) b;
  sortOn =
    key: xs:
    map (pair: elemAt pair 1) (
      sort (a: b: head a < head b) (
        map (x: [
          (key x)
          x
        ]) xs
      )
    );
  compareLists =
    cmp: a: b:
    if a == [ ] then
      if b == [ ] then 0 else -1
    else if b == [ ] then
      1
    else
      let
        here = cmp (head a) (head b);
      in
      if here == 0 then compareLists cmp (tail a) (tail b) else here;
  zipListsWith =
    f: a: b:
    genList (i: f (elemAt a i) (elemAt b i)) (min (length a) (length b));
  zipLists = zipListsWith (fst: snd: { inherit fst snd; });
  crossLists = f: foldl' (fs: xs: builtins.concatMap (f: map f xs) fs) [ f ];
  groupBy' =
    op: nul: key: xs:
    builtins.mapAttrs (_: foldl' op nul) (builtins.groupBy key xs);
  # From the first element back along what comes before it, depth first, to one that nothing
  # precedes, or around a cycle when those count.
  listDfs =
    stopOnCycles: before: list:
    let
      go =
        here: visited: rest:
        let
          loops = filter (x: before x here) visited;
          split = builtins.partition (x: before x here) rest;
        in
        if stopOnCycles && loops != [ ] then
          {
            cycle = here;
            inherit loops visited rest;
          }
        else if split.right == [ ] then
          {
            minimal = here;
            inherit visited rest;
          }
        else
          go (head split.right) ([ here ] ++ visited) (tail split.right ++ split.wrong);
    in
    go (head list) [ ] (tail list);
  toposort =
    before: list:
    let
      first = listDfs true before list;
      others = toposort before (first.visited ++ first.rest);
    in
    if length list < 2 then
      { result = list; }
    else if first ? cycle then
      {
        cycle = reverseList ([ first.cycle ] ++ first.visited);
        inherit (first) loops;
      }
    else if others ? cycle then
      others
    else
      { result = [ first.minimal ] ++ others.result; };
  replaceElemAt =
    list: index: x:
    lib.take index list ++ [ x ] ++ lib.drop (index + 1) list;
  naturalSort =
    xs:
    let
      parts =
        s:
        map (part: if builtins.isList part then lib.toIntBase10 (head part) else part) (
          builtins.split "(0|[1-9][0-9]*)" s
        );
      cmp = a: b: if a == b then 0 else if builtins.typeOf a != builtins.typeOf b then (if builtins.isInt a then -1 else 1) else if a < b then -1 else 1;
    in
    map (pair: elemAt pair 1) (
      sort (a: b: compareLists cmp (head a) (head b) < 0) (
        map (x: [
          (parts x)
          x
        ]) xs
      )
    );
}
