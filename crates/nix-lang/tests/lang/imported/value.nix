{ x = 1; y = __curPos.line; }
