{ lib }:
lib.mapAttrs
  (
    shortName: license:
    {
      inherit shortName;
      free = true;
      url = "https://example.org/licenses/${shortName}";
    }
    // license
  )
  {
    mit = { fullName = "MIT"; };
    asl20 = { fullName = "Apache 2.0"; };
    bsd2 = { fullName = "BSD, two clauses"; };
    bsd3 = { fullName = "BSD, three clauses"; };
    gpl2 = { fullName = "GPL 2"; };
    gpl3 = { fullName = "GPL 3"; };
    lgpl21 = { fullName = "LGPL 2.1"; };
    mpl20 = { fullName = "MPL 2.0"; };
    isc = { fullName = "ISC"; };
    zlib = { fullName = "zlib"; };
    unfree = { fullName = "not free"; free = false; };
  }
