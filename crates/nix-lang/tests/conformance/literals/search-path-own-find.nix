let __findFile = path: name: "found ${name}"; in <x/y>
