let b = builtins; l = [ 3 1 2 ];
in {
  head = b.head l; tail = b.tail l; len = b.length l; at = b.elemAt l 1;
  map = map (x: x * x) l;
  filter = b.filter (x: x > 1) l;
  fold = b.foldl' (a: x: a + toString x) "" l;
  gen = b.genList (x: x * x) 5;
  sort = [ (b.sort b.lessThan l) (b.sort (x: y: x > y) l) (b.sort (x: y: x.k < y.k) [ { k = 2; v = 1; } { k = 1; v = 2; } { k = 2; v = 3; } { k = 1; v = 4; } ]) ];
  part = b.partition (x: x > 1) l;
  any = [ (b.any (x: x == 2) l) (b.all (x: x > 0) l) (b.any (x: true) [ ]) (b.all (x: false) [ ]) ];
  elem = [ (b.elem 2 l) (b.elem 9 l) (b.elem { a = 1; } [ { a = 1; } ]) ];
  concat = [ (b.concatLists [ [ 1 ] [ ] [ 2 3 ] ]) (b.concatMap (x: [ x x ]) l) ([ 1 ] ++ [ 2 ] ++ [ ]) ];
  group = b.groupBy (x: if x > 1 then "big" else "small") l;
  closure = b.genericClosure {
    startSet = [ { key = 5; } ];
    operator = item: if item.key <= 1 then [ ] else [ { key = item.key - 1; } { key = item.key / 2; } ];
  };
  lazy = b.length [ (throw "a") (abort "b") ];
  nested = b.elemAt [ [ 1 [ 2 ] ] ] 0;
}
