builtins.match "(.*)-([0-9.]+)(-.*)?" "foo-bar-1.2.3-x"
