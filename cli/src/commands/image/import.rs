//! `hc image import`: a file of somebody else's, as an image ready to use.

use crate::commands::build;
use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::evaluation::{EvalArgs, failure, here, with_evaluator};
use crate::output;
use crate::progress::Progress;
use nix_compat::{CAHash, DrvOutput, StoreDir};
use nix_store::IngestMethod;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The functions that a flake makes images with: the same text, so the same store paths.
const IMAGES: &str = include_str!("../../../../images/lib.nix");

/// Put a tar file, an OCI archive or an OCI layout into the store, and make an image of it
///
/// What it prints last goes into the description of a machine; the image is kept as long as a
/// machine or --out-link refers to it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Archive, compressed or not, or directory of an OCI layout
    file: PathBuf,
    /// What it is; otherwise a directory is an OCI layout, and the first name in a plain tar file
    /// tells; what is compressed is taken for a root file system
    #[arg(long = "as", value_enum)]
    kind: Option<Kind>,
    /// Name in the store
    #[arg(long)]
    name: Option<String>,
    /// Of an OCI image for several platforms the one to take, such as linux/arm64
    #[arg(long)]
    platform: Option<String>,
    /// Of several OCI images the one to take
    #[arg(long)]
    tag: Option<String>,
    /// Make a symlink to the image; as long as it is there, it is not collected
    #[arg(short, long, value_name = "LINK")]
    out_link: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A root file system
    Tar,
    /// An OCI archive or layout, or what `docker save` writes
    Oci,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let progress = Progress::new();
    let file = std::fs::canonicalize(&args.file)
        .map_err(|e| Failure::new(Code::Failed, format!("{}: {e}", args.file.display())))?;
    let directory = file.is_dir();
    let kind = match args.kind {
        Some(kind) => kind,
        None if directory || looks_like_oci(&file)? => Kind::Oci,
        None => Kind::Tar,
    };
    if kind == Kind::Tar && (directory || args.platform.is_some() || args.tag.is_some()) {
        let message = "a directory, --platform and --tag go with an OCI image";
        return Err(Failure::new(Code::Failed, message).hint("say so with --as oci").into());
    }
    let name = args.name.clone().unwrap_or_else(|| store_name(&args.file));
    let store = build::store(globals)?;
    progress.say(format!("adding {}", args.file.display()));
    let method = if directory { IngestMethod::Recursive } else { IngestMethod::Flat };
    let source = store.add_path(&name, &file, method, &BTreeSet::new(), None).code(Code::Build)?;
    let hash = match store.info(&source)?.ca {
        Some(CAHash::Flat(hash) | CAHash::Nar(hash)) => hash.to_sri_string(),
        _ => return Err(Failure::new(Code::Build, "what was added has no hash").into()),
    };
    let line = line(args, kind, &name, &hash, directory);
    let builder = hc_deploy::builder::pinned(&store, &Globals::exe()?).code(Code::Build)?;
    let builder = StoreDir::default().render_path(&builder);
    let text = format!(
        "let lib = {IMAGES}; builder = builtins.storePath {builder}; images = {{ \
         tar = args: lib.tar ({{ inherit builder; }} // args); \
         oci = args: lib.oci ({{ inherit builder; }} // args); \
         inherit (lib) imported; }}; in {line}"
    );
    progress.say("evaluating");
    let mut plan = EvalArgs::default().plan(false)?;
    plan.settings.pure = false;
    let drv = with_evaluator(globals, plan, |nix, io| {
        let value = nix.eval_str(&text, here()).map_err(failure)?;
        let all = nix.packages(value, &[]).map_err(failure)?;
        let package = all.first().ok_or_else(|| Failure::new(Code::Evaluation, "no image"))?;
        let drv =
            StoreDir::default().parse_path(package.drv_path.as_bytes()).code(Code::Evaluation)?;
        io.write_derivation(&store, &drv).code(Code::Build)?;
        Ok(drv)
    })?;
    let wanted = DrvOutput::new(drv, "out");
    let observer = build::Observer { progress: &progress };
    let built = store.build(std::slice::from_ref(&wanted), &observer);
    progress.clear();
    let built = built.code(Code::Build)?;
    let Some(path) = built.get(&wanted) else {
        return Err(Failure::new(Code::Build, "the build has no output").into());
    };
    let path = PathBuf::from(StoreDir::default().render_path(path));
    if let Some(link) = &args.out_link {
        hc_fs::durable::symlink(&path, link)?;
        store.add_root(link)?;
    }
    if args.json {
        return output::json(
            &serde_json::json!({ "path": path, "source": StoreDir::default().render_path(&source), "nix": line }),
        );
    }
    output::line(path.display())?;
    output::line(format_args!("image = {line};"))
}

/// The expression that makes this image in a flake.
fn line(args: &Args, kind: Kind, name: &str, hash: &str, directory: bool) -> String {
    let function = match kind {
        Kind::Tar => "tar",
        Kind::Oci => "oci",
    };
    let recursive = if directory { " recursive = true;" } else { "" };
    let mut more = String::new();
    for (key, value) in [("platform", &args.platform), ("tag", &args.tag)] {
        if let Some(value) = value {
            let quoted = serde_json::Value::from(value.as_str()).to_string().replace('$', "\\$");
            more.push_str(&format!(" {key} = {quoted};"));
        }
    }
    format!(
        "images.{function} {{ src = images.imported {{ name = \"{name}\"; hash = \"{hash}\";{recursive} }};{more} }}"
    )
}

/// Whether the first name in a plain tar file is one that OCI archives begin with.
fn looks_like_oci(file: &Path) -> anyhow::Result<bool> {
    let mut header = [0; 100];
    let mut opened = std::fs::File::open(file)?;
    if opened.read_exact(&mut header).is_err() {
        return Ok(false);
    }
    let end = header.iter().position(|b| *b == 0).unwrap_or(header.len());
    let name = String::from_utf8_lossy(&header[..end]);
    let name = name.trim_start_matches("./");
    let first = name.split('/').next().unwrap_or("");
    let hex = first.trim_end_matches(".json").trim_end_matches(".tar");
    let digest = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    Ok(digest
        || ["blobs", "oci-layout", "index.json", "manifest.json", "repositories"].contains(&first))
}

/// A name the store takes.
fn store_name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let legal = |c: char| if c.is_ascii_alphanumeric() || "+-._?=".contains(c) { c } else { '-' };
    let name: String = name.trim_start_matches('.').chars().map(legal).take(200).collect();
    if name.is_empty() { "image".into() } else { name }
}
