//! What is written about each builtin, for a person at a prompt: its arguments, and a paragraph.

/// The names of the arguments of a builtin, and what it does.
pub(crate) fn of(name: &str) -> Option<(&'static str, &'static str)> {
    let found = DOCS.iter().find(|(known, ..)| *known == name)?;
    Some((found.1, found.2))
}

#[rustfmt::skip]
const DOCS: &[(&str, &str, &str)] = &[
    ("abort", "message", "Ends the evaluation with *message*. Unlike `throw`, `tryEval` does not catch it."),
    ("add", "a b", "The sum of two numbers, as `a + b`; it is a float if one of them is."),
    ("addDrvOutputDependencies", "string", "The same string, whose context (one `.drv` file as it is) becomes that of a `drvPath`: the file with everything it builds from and builds."),
    ("addErrorContext", "message value", "*value*; where its evaluation fails, *message* is one of the lines that say where."),
    ("all", "predicate list", "Whether *predicate* is true for every element. It stops at the first for which it is false."),
    ("any", "predicate list", "Whether *predicate* is true for an element. It stops at the first for which it is."),
    ("appendContext", "string context", "The same string, with *context* (as `getContext` gives it) added to what it depends on."),
    ("attrNames", "set", "The names of the attributes, sorted."),
    ("attrValues", "set", "The values of the attributes, in the order of their sorted names. None is evaluated."),
    ("baseNameOf", "path", "What follows the last slash of a path or string; a slash at the end does not count."),
    ("bitAnd", "a b", "The bits that both integers have."),
    ("bitOr", "a b", "The bits that one of the integers has, or both."),
    ("bitXor", "a b", "The bits that exactly one of the integers has."),
    ("break", "value", "*value*. In the debugger of C++ Nix evaluation stops here; otherwise nothing happens."),
    ("catAttrs", "name list", "The attribute *name* of each set of the list that has one."),
    ("ceil", "number", "The smallest integer that is not below *number*."),
    ("compareVersions", "a b", "-1 if version *a* is older than *b*, 1 if it is newer, 0 if they are the same. Parts are compared as `splitVersion` gives them: numbers as numbers, `pre` before everything."),
    ("concatLists", "lists", "The elements of all lists of a list, one list after the other."),
    ("concatMap", "function list", "The lists that *function* gives for the elements, put together."),
    ("concatStringsSep", "separator list", "The strings of the list, with *separator* between them. Elements become strings as in `\"${…}\"`."),
    ("convertHash", "{ hash, hashAlgo?, toHashFormat }", "*hash* in another format: `base16`, `nix32`, `base64` or `sri`. The algorithm is needed where the hash does not say it."),
    ("deepSeq", "value result", "*result*, after *value* was evaluated with everything inside of it."),
    ("derivationStrict", "attributes", "Makes a derivation: writes the `.drv` file, and gives its path as `drvPath` and one path for each output. `derivation` is the lazy way to it."),
    ("dirOf", "path", "What precedes the last slash: the directory that something is in. A path for a path, a string for a string."),
    ("div", "a b", "The quotient of two numbers, as `a / b`; of integers it is rounded towards zero. Division by zero is an error."),
    ("elem", "value list", "Whether an element of the list is equal to *value*."),
    ("elemAt", "list index", "An element of the list; the first is number 0."),
    ("fetchClosure", "{ fromStore, fromPath, toPath?, inputAddressed? }", "A store path, copied out of the binary cache *fromStore* with everything it refers to. Content-addressed paths are taken on their word; others need a signature."),
    ("fetchGit", "url or { url, rev?, ref?, name?, submodules?, shallow?, allRefs?, lfs?, … }", "The tree of a Git commit, as a set with `outPath`, `rev`, `shortRev`, `revCount`, `lastModified` and `narHash`. Without *rev* it is what *ref* (or `HEAD`) points to now; a directory of this machine is taken with its changes."),
    ("fetchMercurial", "url or { url, rev?, name? }", "The tree of a Mercurial revision, as a set with `outPath`, `rev`, `shortRev`, `revCount` and `branch`."),
    ("fetchTarball", "url or { url, sha256?, name? }", "The store path of what an archive holds (of the one directory it has at the top). With *sha256*, the hash of that tree, the download happens once."),
    ("fetchTree", "reference", "The tree that a flake input reference (a URL, or a set with `type`) stands for, with what is known about it: `outPath`, `rev`, `lastModified`, `narHash` and so on."),
    ("fetchurl", "url or { url, sha256?, name? }", "The store path of a downloaded file, during evaluation."),
    ("filter", "predicate list", "The elements for which *predicate* is true."),
    ("filterSource", "predicate path", "A copy of *path* in the store without the files for which `predicate path type` is false; *type* is `regular`, `directory`, `symlink` or `unknown`. `builtins.path` can do more."),
    ("findFile", "search-path name", "Where *name* is found in a list of `{ prefix, path }`: what `<name>` means, with `builtins.nixPath` as the list."),
    ("flakeRefToString", "attributes", "A flake reference as a URL; the inverse of `parseFlakeRef`."),
    ("floor", "number", "The largest integer that is not above *number*."),
    ("foldl'", "operator start list", "`operator (operator start first) second` and so on, from the left, each step evaluated before the next."),
    ("fromJSON", "text", "The value that a JSON text stands for."),
    ("fromTOML", "text", "The value that a TOML text stands for. Dates and times are an error, unless the feature `parse-toml-timestamps` is on."),
    ("functionArgs", "function", "The names that a function `{ a, b ? 1, … }: …` asks for, each with whether it has a default. An empty set for other functions."),
    ("genList", "generator length", "`[ (generator 0) (generator 1) … ]` with *length* elements."),
    ("genericClosure", "{ startSet, operator }", "All that can be reached from *startSet*: each element, a set with a `key`, is given to *operator*, which names further ones. Elements with a key that was there already are left out."),
    ("getAttr", "name set", "`set.${name}`."),
    ("getContext", "string", "What a string depends on: for each store path a set of `path`, `allOutputs` and `outputs`, as far as these are in it."),
    ("getEnv", "name", "A variable of the environment, empty if there is none. Pure evaluation sees none."),
    ("getFlake", "reference", "The outputs of a flake with what is known of its tree. Pure evaluation takes locked references only."),
    ("groupBy", "function list", "The elements in lists by the string that *function* gives for each: a set with these strings as names."),
    ("hasAttr", "name set", "`set ? ${name}`."),
    ("hasContext", "string", "Whether a string depends on a store path."),
    ("hashFile", "algorithm path", "The hash of the contents of a file, in base 16. Algorithms are `md5`, `sha1`, `sha256`, `sha512` and, behind a feature, `blake3`."),
    ("hashString", "algorithm string", "The hash of a string, in base 16; algorithms as for `hashFile`."),
    ("head", "list", "The first element. An empty list is an error."),
    ("import", "path", "The value of the Nix file at *path*; for a directory, of the `default.nix` in it. A file is evaluated once."),
    ("intersectAttrs", "a b", "The attributes of *b* whose names *a* has as well."),
    ("isAttrs", "value", "Whether *value* is a set."),
    ("isBool", "value", "Whether *value* is `true` or `false`."),
    ("isFloat", "value", "Whether *value* is a float."),
    ("isFunction", "value", "Whether *value* is a function; a set with `__functor` is none."),
    ("isInt", "value", "Whether *value* is an integer."),
    ("isList", "value", "Whether *value* is a list."),
    ("isNull", "value", "Whether *value* is `null`: `value == null`."),
    ("isPath", "value", "Whether *value* is a path; a string never is."),
    ("isString", "value", "Whether *value* is a string."),
    ("length", "list", "How many elements a list has."),
    ("lessThan", "a b", "`a < b`, for numbers, strings, paths and lists of these."),
    ("listToAttrs", "list", "A set from `[ { name = …; value = …; } … ]`. The first of several with one name counts."),
    ("map", "function list", "The list of what *function* gives for each element, none of it evaluated yet."),
    ("mapAttrs", "function set", "A set with the same names and `function name value` for each value."),
    ("match", "regex string", "The groups of an extended POSIX expression that matches all of *string*, `null` for each that took no part; `null` if it does not match."),
    ("mul", "a b", "The product of two numbers, as `a * b`."),
    ("outputOf", "derivation output", "The path of an output of the derivation that a string stands for, which may be built by a derivation itself; a placeholder where the path is not known yet."),
    ("parseDrvName", "text", "`{ name, version }` out of `name-version`: the version begins after the first dash that no letter follows."),
    ("parseFlakeRef", "text", "A flake reference as a set, such as `{ type = \"github\"; owner = …; repo = …; }`."),
    ("partition", "predicate list", "`{ right, wrong }`: the elements for which *predicate* is true, and the others."),
    ("path", "{ path, name?, filter?, recursive?, sha256? }", "A copy of a file or directory in the store: under another name, without the files that *filter* does not want, as a flat file if *recursive* is false, checked against *sha256*."),
    ("pathExists", "path", "Whether there is something at *path*. With a slash at the end it has to be a directory."),
    ("placeholder", "output", "A text that stands for the path of an output of the derivation that it is used in; the builder sees the path."),
    ("readDir", "path", "The names in a directory, each with its type: `regular`, `directory`, `symlink` or `unknown`."),
    ("readFile", "path", "The contents of a file as a string. Out of a store object they depend on what that refers to."),
    ("readFileType", "path", "The type of what is at *path*, as `readDir` has it."),
    ("removeAttrs", "set names", "The set without the attributes of these names; names it has not are no error."),
    ("replaceStrings", "from to string", "*string* with each occurrence of a string of the list *from* replaced by the one at its place in *to*. What comes first in *from* counts first; what was put in is not searched again."),
    ("scopedImport", "scope path", "As `import`, with the attributes of *scope* as further variables. Evaluated again each time."),
    ("seq", "value result", "*result*, after *value* was evaluated, but not what is inside of it."),
    ("sort", "less list", "The list in order, `less a b` saying whether *a* comes before *b*. What neither comes before the other stays as it was."),
    ("split", "regex string", "What is between the matches of an extended POSIX expression, and for each match a list of its groups, by turns. It begins and ends with a string."),
    ("splitVersion", "text", "The parts of a version: runs of digits and runs of others, without dots and dashes."),
    ("storePath", "path", "A path that is in the store already, as a string that depends on it."),
    ("stringLength", "string", "How many bytes a string has."),
    ("sub", "a b", "The difference of two numbers, as `a - b`."),
    ("substring", "start length string", "*length* bytes of a string from byte *start* on, or what there is; a negative length means all. A negative start is an error."),
    ("tail", "list", "All elements but the first. An empty list is an error."),
    ("throw", "message", "An error with *message*, which `tryEval` catches."),
    ("toFile", "name contents", "The store path of a file with these contents, which may refer to store paths, but not to what is yet to be built."),
    ("toJSON", "value", "*value* as JSON. A derivation is its `outPath`, a set with `__toString` its string; a path is copied to the store."),
    ("toPath", "text", "*text*, if it is an absolute path. There is no need for it: `/. + text` gives a path."),
    ("toString", "value", "A string: numbers in decimal, `true` as `1`, `false` and `null` as nothing, lists with spaces, paths as they are, sets by `__toString` or `outPath`."),
    ("toXML", "value", "*value* as XML, with places of attributes."),
    ("trace", "message value", "*value*, after *message* was printed to standard error."),
    ("traceVerbose", "message value", "As `trace` if the setting `trace-verbose` is on; else *value* alone."),
    ("tryEval", "value", "`{ success = true; value = …; }`, or `{ success = false; value = false; }` where evaluation ends in a `throw` or a failed `assert`. What is inside of *value* is not evaluated."),
    ("typeOf", "value", "`int`, `bool`, `string`, `path`, `null`, `set`, `list`, `lambda` or `float`."),
    ("unsafeDiscardOutputDependency", "string", "The same string, which depends on `.drv` files as they are where it depended on all they build as well."),
    ("unsafeDiscardStringContext", "string", "The same string, which depends on nothing any more."),
    ("unsafeGetAttrPos", "name set", "Where an attribute is written, `{ file, line, column }`; `null` where that is not known."),
    ("warn", "message value", "*value*, after a warning was printed to standard error. With the setting `abort-on-warn` it is an error."),
    ("zipAttrsWith", "function sets", "A set with the names of all *sets*, and for each `function name values` with the list of its values."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_is_written_about() {
        let features = crate::builtins::GATED.iter().map(|(_, feature)| (*feature).to_owned());
        let features: Vec<String> = features.collect();
        for op in crate::builtins::ops(&features) {
            assert!(of(op.name).is_some(), "{}", op.name);
        }
        assert!(DOCS.is_sorted_by_key(|(name, ..)| *name));
        let known = crate::builtins::ops(&features).count();
        assert_eq!(DOCS.len(), known, "a paragraph about something that is no builtin");
    }
}
