(import <nix/fetchurl.nix> { url = "http://example.org/x.tar.gz"; hash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; unpack = true; name = "n"; }).drvPath
