//! Evaluate an expression or a file, for trying things and for measuring:
//! `eval [--json | --xml | --raw | --plain | --lazy | --parse | --drv] [--pure] [-I x=y]… [-A path]
//! [--arg name text]… [--argstr name text]… (-E TEXT | FILE)`.

use std::path::Path;

use nix_lang::{Arena, ComputeIo, Evaluator, Result, Settings, Value, on_big_stack};

/// In what form the value is shown.
#[derive(Default)]
enum Form {
    #[default]
    Print,
    Json,
    Xml,
    Raw,
    Plain,
    Lazy,
    Parse,
    Drv,
}

#[derive(Default)]
struct Wanted {
    form: Form,
    text: Option<String>,
    file: Option<String>,
    attr: Option<String>,
    args: Vec<(String, String, bool)>,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mut wanted = Wanted::default();
    let mut settings = Settings {
        current_dir: std::env::current_dir().ok(),
        home: std::env::var_os("HOME").map(Into::into),
        ..Settings::default()
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => wanted.form = Form::Json,
            "--xml" => wanted.form = Form::Xml,
            "--raw" => wanted.form = Form::Raw,
            "--plain" => wanted.form = Form::Plain,
            "--lazy" => wanted.form = Form::Lazy,
            "--parse" => wanted.form = Form::Parse,
            "--drv" => wanted.form = Form::Drv,
            "--pure" => settings.pure = true,
            "--feature" => settings.features.extend(args.next()),
            "--max-call-depth" => {
                settings.max_call_depth =
                    args.next().and_then(|text| text.parse().ok()).unwrap_or(10_000);
            }
            "-E" => wanted.text = args.next(),
            "-A" => wanted.attr = args.next(),
            "-I" => settings.search_path.extend(args.next()),
            "--arg" | "--argstr" => {
                if let (Some(name), Some(text)) = (args.next(), args.next()) {
                    wanted.args.push((name, text, arg == "--argstr"));
                }
            }
            _ => wanted.file = Some(arg),
        }
    }
    let failed = on_big_stack(move || {
        let arena = Arena::new();
        let io = ComputeIo::new().with_environment().with_messages(|line| eprintln!("{line}"));
        let nix = Evaluator::new(&arena, io, settings);
        match shown(&nix, &wanted) {
            Ok(text) => println!("{text}"),
            Err(error) => {
                eprintln!("error: {}", error.message());
                if let Some(help) = error.help().filter(|help| help.starts_with("Did you")) {
                    eprintln!("{help}");
                }
                eprintln!("{}", error.report());
                return true;
            }
        }
        if std::env::var_os("EVAL_STATS").is_some() {
            eprintln!("{} KiB", nix.memory() / 1024);
        }
        // The process ends here: there is nothing to gain from freeing values one by one.
        false
    });
    std::process::exit(i32::from(failed.unwrap_or(true)));
}

fn shown<'a>(nix: &Evaluator<'a>, wanted: &Wanted) -> Result<String> {
    let base = std::env::current_dir().unwrap_or_default();
    if let Form::Parse = wanted.form {
        let text = match (&wanted.text, &wanted.file) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(file)) => std::fs::read(file).unwrap_or_default(),
            (None, None) => return Ok(String::new()),
        };
        let tree = nix.show_parsed(&text, &base)?;
        return Ok(String::from_utf8_lossy(&tree).into_owned());
    }
    let mut value = match (&wanted.text, &wanted.file) {
        (Some(text), _) => nix.eval_str(text, &base)?,
        (None, Some(file)) => nix.eval_file(base.join(file))?,
        (None, None) => Value::Null,
    };
    if let (Value::Lambda(_), false) = (value, wanted.args.is_empty()) {
        let mut given = Vec::new();
        for (name, text, plain) in &wanted.args {
            let value = if *plain { nix.string(text) } else { nix.eval_str(text, &base)? };
            given.push((name.as_str(), value));
        }
        value = nix.apply(value, nix.set(given))?;
    }
    if let Some(attr) = &wanted.attr {
        let path: Vec<&str> = attr.split('.').collect();
        value = nix.select_path(value, &path)?;
    }
    match wanted.form {
        Form::Print | Form::Parse => nix.print(value),
        Form::Json => nix.to_json_text(value),
        Form::Xml => nix.to_xml_text(value),
        Form::Raw => Ok(String::from_utf8_lossy(&nix.to_text(value)?.0).into_owned()),
        Form::Lazy => nix.print_plain(nix.force_value(value)?),
        Form::Plain => nix.print_plain(nix.force_deep(value)?),
        Form::Drv => drv(nix, value, &base),
    }
}

/// The bytes of the derivation that a value is.
fn drv<'a>(nix: &Evaluator<'a>, value: Value<'a>, base: &Path) -> Result<String> {
    let path = nix.select_path(value, &["drvPath"])?;
    let deep = nix.eval_str("p: p", base)?;
    let (path, _) = nix.to_text(nix.apply(deep, path)?)?;
    Ok(String::from_utf8_lossy(&path).into_owned())
}
