let x = "b"; in [ /a/${x} /a/${x}c/d /a/x${x} /a/${x}/../e ]
