let
  s = ''
    indented
      more ''${not} ''$ ''' ''\n x
    ${"inter"}polated
  '';
in
{
  inherit s;
  empty = "";
  esc = "a\tb\n\"q\" \${x} $y \\ $${z}";
  concat = "a" + "b" + "${toString 1}${"c"}";
  sub = [ (builtins.substring 1 2 "hello") (builtins.substring 3 100 "hello") (builtins.substring 9 1 "hello") (builtins.substring 1 (-1) "hello") ];
  len = map builtins.stringLength [ "" "abc" "ä" ];
  rep = [
    (builtins.replaceStrings [ "a" "b" ] [ "1" "2" ] "aabbc")
    (builtins.replaceStrings [ "" ] [ "-" ] "abc")
    (builtins.replaceStrings [ "oo" "o" ] [ "1" "2" ] "foo o ooo")
    (builtins.replaceStrings [ ] [ ] "same")
    (builtins.replaceStrings [ "a" "" ] [ "x" "y" ] "bab")
  ];
  sep = builtins.concatStringsSep ", " [ "a" "b" "c" ];
  match = [
    (builtins.match "a(b*)(c)?" "abb")
    (builtins.match "x" "y")
    (builtins.match "([[:alpha:]]+)-([0-9.]+)" "hello-2.10")
    (builtins.match ".*" "")
    (builtins.match "(a|ab)(c|bcd)(d*)" "abcd")
  ];
  split = [
    (builtins.split "(a)b" "abc")
    (builtins.split "([ac])" "abc")
    (builtins.split "(a)|(c)" "abc")
    (builtins.split "([[:upper:]]+)" " FOO ")
    (builtins.split "," "a,b,,c")
    (builtins.split "x*" "abc")
    (builtins.split "" "abc")
  ];
  versions = map builtins.splitVersion [ "1.2.3" "1.2pre3-rc" "" ];
  cmp = [ (builtins.compareVersions "1.0" "1.1") (builtins.compareVersions "2.3pre" "2.3") (builtins.compareVersions "1" "1") ];
  drvName = map builtins.parseDrvName [ "nix-0.12pre12876" "hello" "a-b-c-1" "x-" ];
  base = map baseNameOf [ "/a/b" "/a/b/" "a" "/" ./x/y ];
  dir = map dirOf [ "/a/b" "/a" "a" "a/b" ];
  hash = map (a: builtins.hashString a "abc") [ "md5" "sha1" "sha256" "sha512" ];
  uri = https://example.org/x?y=1;
  order = builtins.sort builtins.lessThan [ "b" "a" "B" "aa" ];
}
