throw { __toString = s: "text"; }
