builtins.match "([a-z]+)://([^/:]+)(:([0-9]+))?(/.*)?" "http://host:80/path"
