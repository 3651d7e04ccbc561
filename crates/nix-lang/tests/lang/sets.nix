let b = builtins; s = { z = 1; a = 2; m = { x = 3; }; };
in {
  names = b.attrNames s;
  values = b.attrValues s;
  get = b.getAttr "a" s;
  has = [ (b.hasAttr "a" s) (b.hasAttr "q" s) ];
  remove = removeAttrs s [ "a" "nope" ];
  listTo = b.listToAttrs [ { name = "p"; value = 1; } { name = "q"; value = 2; } { name = "p"; value = throw "later"; } ];
  mapA = b.mapAttrs (n: v: n + b.typeOf v) s;
  cat = b.catAttrs "a" [ { a = 1; } { b = 0; } { a = 2; } ];
  inter = [ (b.intersectAttrs { a = 0; q = 0; } s) (b.intersectAttrs s { a = 0; q = 0; }) ];
  zip = b.zipAttrsWith (n: vs: { inherit n vs; }) [ { a = 1; } { a = 2; b = 3; } ];
  args = b.functionArgs ({ a, b ? 1 }: 0);
  deep = (b.deepSeq s 5);
  seq = b.seq { a = throw "no"; } 6;
  pos = b.unsafeGetAttrPos "nope" s;
  posLine = (b.unsafeGetAttrPos "z" s).line;
  posCol = (b.unsafeGetAttrPos "z" s).column;
  cur = __curPos.line;
  many = b.length (b.attrNames (b.listToAttrs (b.genList (n: { name = "n${toString n}"; value = n; }) 100)));
}
