# The text of a number is part of what is hashed.
(derivation {
  name = "t";
  system = "s";
  builder = "b";
  __structuredAttrs = true;
  list = [ 7.049671603585316e-94 (1063694412249609417 + 0.0) 1.0e25 5.0e-7 1.0 123456789012345678.0 ];
  small = 2 * (-1.529173857227545e-256);
}).drvPath
