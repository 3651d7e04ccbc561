# Types of numbers.
{
  basics,
  options,
  mkOptionType,
  types,
  ...
}:
let
  inherit (basics) isFloat isInt toJSON;
  inherit (types) addCheck;

  equal = {
    __functor = _: options.mergeEqualOption;
    single = true;
    placeless = _: true;
  };
  inclusive = show: lowest: highest: "${show lowest} and ${show highest} (both inclusive)";
  checked =
    name: type: description: check:
    addCheck type check
    // {
      inherit name description;
    };
  clause = type: type // { descriptionClass = "nonRestrictiveClause"; };
  ordered =
    name: lowest: highest: type:
    if lowest <= highest then type else throw "${name}: lowest must be smaller than highest";

  bits =
    name: width: lowest: highest: words:
    checked "${name}${toString width}" int
      "${toString width} bit ${words}; between ${inclusive toString lowest highest}"
      (x: x >= lowest && x <= highest);
  unsigned = width: size: bits "unsignedInt" width 0 (size - 1) "unsigned integer";
  signed = width: size: bits "signedInt" width (0 - size / 2) (size / 2 - 1) "signed integer";

  int = mkOptionType {
    name = "int";
    description = "signed integer";
    descriptionClass = "noun";
    check = isInt;
    merge = equal;
  };
in
rec {
  inherit int;
  float = mkOptionType {
    name = "float";
    description = "floating point number";
    descriptionClass = "noun";
    check = isFloat;
    merge = equal;
  };
  number = types.either int float;
  port = ints.u16;

  ints = {
    between =
      lowest: highest:
      ordered "ints.between" lowest highest (
        checked "intBetween" int "integer between ${inclusive toString lowest highest}" (
          x: x >= lowest && x <= highest
        )
      );
    unsigned = clause (checked "unsignedInt" int "unsigned integer, meaning >=0" (x: x >= 0));
    positive = clause (checked "positiveInt" int "positive integer, meaning >0" (x: x > 0));
    u8 = unsigned 8 256;
    u16 = unsigned 16 65536;
    u32 = unsigned 32 4294967296;
    s8 = signed 8 256;
    s16 = signed 16 65536;
    s32 = signed 32 4294967296;
  };

  numbers = {
    between =
      lowest: highest:
      ordered "numbers.between" lowest highest (
        checked "numberBetween" number
          "integer or floating point number between ${inclusive toJSON lowest highest}"
          (x: x >= lowest && x <= highest)
      );
    nonnegative = clause (
      checked "numberNonnegative" number "nonnegative integer or floating point number, meaning >=0" (
        x: x >= 0
      )
    );
    positive = clause (
      checked "numberPositive" number "positive integer or floating point number, meaning >0" (x: x > 0)
    );
  };
}
