let __nixPath = [ { prefix = "a"; path = ./.; } ]; in baseNameOf <a/data>
