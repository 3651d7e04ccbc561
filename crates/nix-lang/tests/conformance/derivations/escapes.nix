(derivation { name = "a"; builder = "b"; system = "s"; x = "a\"b\\c\nd\te\rf\${g}é"; }).drvPath
