[ "${{ __toString = s: "x" + s.y; y = "z"; }}" (toString { __toString = _: "t"; outPath = "o"; }) ]
