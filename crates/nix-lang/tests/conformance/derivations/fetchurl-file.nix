(import <nix/fetchurl.nix> { url = "http://example.org/x.tar.gz"; sha256 = "0000000000000000000000000000000000000000000000000000"; }).drvPath
