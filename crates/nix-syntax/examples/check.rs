//! Parses the files named on the command line (or listed on standard input) and says which are refused, and how long it took.
//! With SHOW set the trees are printed in the form of `nix-instantiate --parse`.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Instant;

use nix_syntax::{Globals, Options, Origin, Sources, Symbols, parse, render};

const PLAIN: &str = "abort baseNameOf break builtins derivation derivationStrict dirOf false fetchGit fetchMercurial \
    fetchTarball fetchTree fromTOML import isNull map null placeholder removeAttrs scopedImport throw toString true";
const HIDDEN: &str = "add addErrorContext all any appendContext attrNames attrValues bitAnd bitOr bitXor catAttrs ceil \
    compareVersions concatLists concatMap concatStringsSep currentSystem currentTime deepSeq div elem elemAt fetchurl filter \
    filterSource findFile floor foldl' fromJSON functionArgs genList genericClosure getAttr getContext getEnv groupBy hasAttr \
    hasContext hashFile hashString head intersectAttrs isAttrs isBool isFloat isFunction isInt isList isPath isString \
    langVersion length lessThan listToAttrs mapAttrs match mul nixPath nixVersion parseDrvName partition path pathExists \
    readDir readFile replaceStrings seq sort split splitVersion storeDir storePath stringLength sub substring tail toFile \
    toJSON toPath toXML trace tryEval typeOf unsafeDiscardOutputDependency unsafeDiscardStringContext unsafeGetAttrPos \
    zipAttrsWith";

fn main() {
    let mut files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        let mut list = String::new();
        let _ = std::io::stdin().read_to_string(&mut list);
        files = list.lines().map(str::to_owned).collect();
    }
    let arena = bumpalo::Bump::new();
    let symbols = Symbols::new(&arena);
    let sources = Sources::new();
    let hidden: Vec<String> = HIDDEN.split_whitespace().map(|name| format!("__{name}")).collect();
    let names = PLAIN.split_whitespace().chain(hidden.iter().map(String::as_str));
    let globals = Globals::new(&symbols, names.map(str::as_bytes));
    let (mut bytes, mut refused, mut time) = (0, 0, std::time::Duration::ZERO);
    for name in &files {
        let Ok(text) = std::fs::read(name) else { continue };
        bytes += text.len();
        let directory = name.rsplit_once('/').map_or("/", |(directory, _)| directory);
        let text: Arc<[u8]> = text.into();
        let file = sources.add(Origin::Path(name.as_bytes().into()), text);
        let options = Options {
            home: Some(b"/home"),
            max_depth: 2000,
            ..Options::new(directory.as_bytes(), &globals)
        };
        let start = Instant::now();
        let result = parse(&arena, &symbols, &sources, file, &options);
        time += start.elapsed();
        if let (Ok(expr), Some(_)) = (&result, std::env::var_os("SHOW")) {
            let text = nix_syntax::show(expr, &symbols, &globals, None);
            let _ = std::io::stdout().write_all(&[&text[..], b"\n"].concat());
        }
        if let Err(reports) = result {
            refused += 1;
            println!("REFUSED {name}");
            for report in reports {
                println!("{}", render(&sources, &report, false));
            }
        }
    }
    println!(
        "{} files, {bytes} bytes, {refused} refused, {time:?}, {} bytes of tree",
        files.len(),
        arena.allocated_bytes()
    );
}
