{ __toString = s: "t"; } + "u"
