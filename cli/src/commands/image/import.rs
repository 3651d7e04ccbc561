//! `hc image import`: a file of somebody else's, as an image ready to use.

use super::sniff::{self, Kind};
use crate::commands::build;
use crate::commands::machine::program;
use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::evaluation::{EvalArgs, failure, here, with_evaluator};
use crate::output;
use crate::progress::Progress;
use hc_image::disk::{SIZE_MAX, foreign};
use nix_compat::{CAHash, DrvOutput, StoreDir};
use nix_store::IngestMethod;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The name of a disk that was converted, in a directory of its own.
const CONVERTED: &str = "disk.qcow2";

/// The functions that a flake makes images with: the same text, so the same store paths.
const ARCHIVES: &str = include_str!("../../../../images/lib.nix");
const DISK: &str = include_str!("../../../../images/disk.nix");
const KERNEL: &str = include_str!("../../../../images/kernel.nix");
const INITRD: &str = include_str!("../../../../images/initrd.nix");

/// Put a file into the store and make an image of it: an archive, a disk, a kernel, an initrd
///
/// It is a root file system in a tar file, an OCI archive or layout, a disk (qcow2, raw, ISO; vhdx, vmdk,
/// vdi and dynamic vhd where this host has qemu-img), a kernel (bzImage, ELF, Debian's package) or an
/// initrd. What it prints last goes into the description of a machine; the image is kept as long as a
/// machine or --out-link refers to it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file, or the directory of an OCI layout
    file: PathBuf,
    /// What it is; otherwise its first bytes tell, and what is compressed is taken for a root file
    /// system
    #[arg(long = "as", value_enum)]
    kind: Option<Kind>,
    /// Name of the image; otherwise the file's
    #[arg(long, value_parser = named)]
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

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let progress = Progress::new();
    let file = std::fs::canonicalize(&args.file)
        .map_err(|e| Failure::new(Code::Failed, format!("{}: {e}", args.file.display())))?;
    let directory = file.is_dir();
    let kind = match args.kind {
        Some(kind) => kind,
        None => sniff::kind(&file)?,
    };
    if kind != Kind::Oci && (directory || args.platform.is_some() || args.tag.is_some()) {
        let message = "a directory, --platform and --tag go with an OCI image";
        return Err(Failure::new(Code::Failed, message).hint("say so with --as oci").into());
    }
    let mut source_name = store_name(&args.file);
    let name = args.name.clone().unwrap_or_else(|| image_name(&source_name));
    let converted = if kind == Kind::Disk { convert(&file, &progress)? } else { None };
    if converted.is_some() {
        source_name = format!("{name}.qcow2");
    }
    let file = converted.as_ref().map_or(file, |made| made.path().join(CONVERTED));
    let store = build::store(globals)?;
    progress.say(format!("adding {}", args.file.display()));
    let method = if directory { IngestMethod::Recursive } else { IngestMethod::Flat };
    let source =
        store.add_path(&source_name, &file, method, &BTreeSet::new(), None).code(Code::Build)?;
    drop(converted);
    let hash = match store.info(&source)?.ca {
        Some(CAHash::Flat(hash) | CAHash::Nar(hash)) => hash.to_sri_string(),
        _ => return Err(Failure::new(Code::Build, "what was added has no hash").into()),
    };
    let imported = format!(
        "images.imported {{ name = \"{source_name}\"; hash = \"{hash}\";{} }}",
        if directory { " recursive = true;" } else { "" }
    );
    let line = line(args, kind, &name, &imported);
    let builder = hc_deploy::builder::pinned(&store, &Globals::exe()?).code(Code::Build)?;
    let builder = StoreDir::default().render_path(&builder);
    let rest = [("disk", DISK), ("kernel", KERNEL), ("initrd", INITRD)].map(|(name, text)| {
        let text = text.replace("import ./lib.nix", "archives");
        format!("{name} = args: ({text}) ({{ inherit builder; }} // args); ")
    });
    let text = format!(
        "let archives = {ARCHIVES}; builder = builtins.storePath {builder}; images = {{ \
         tar = args: archives.tar ({{ inherit builder; }} // args); \
         oci = args: archives.oci ({{ inherit builder; }} // args); \
         inherit (archives) imported; {} }}; in {line}",
        rest.concat()
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
        build::keep_link(&store, &path, link)?;
    }
    if args.json {
        return output::json(
            &serde_json::json!({ "path": path, "source": StoreDir::default().render_path(&source), "option": kind.option(), "nix": line }),
        );
    }
    output::line(path.display())?;
    output::line(format_args!("{} = {line};", kind.option()))
}

/// The disk as qcow2, where only QEMU reads its format: what is added to the store is that, so that no
/// build needs QEMU.
fn convert(file: &Path, progress: &Progress) -> anyhow::Result<Option<TempDir>> {
    let Some(format) = foreign::format(file).code(Code::Failed)? else { return Ok(None) };
    let Some(program) = program("qemu-img") else {
        let message =
            format!("{} is a {format} image, which QEMU's qemu-img converts", file.display());
        let hint = "install the package 'qemu-utils', or bring the disk as qcow2";
        return Err(Failure::new(Code::Host, message).hint(hint).into());
    };
    progress.say(format!("converting {} by qemu-img", file.display()));
    let made = tempfile::tempdir()?;
    let target = made.path().join(CONVERTED);
    foreign::convert(&program, format, file, (&target, "qcow2"), SIZE_MAX).code(Code::Failed)?;
    Ok(Some(made))
}

/// The expression that makes this image in a flake.
fn line(args: &Args, kind: Kind, name: &str, imported: &str) -> String {
    let mut more = String::new();
    for (key, value) in [("platform", &args.platform), ("tag", &args.tag)] {
        if let Some(value) = value {
            let quoted = serde_json::Value::from(value.as_str()).to_string().replace('$', "\\$");
            more.push_str(&format!(" {key} = {quoted};"));
        }
    }
    let source = match kind {
        Kind::Initrd => format!("initrds = [ ({imported}) ]"),
        _ => format!("src = {imported}"),
    };
    format!("images.{} {{ name = \"{name}\"; {source};{more} }}", kind.function())
}

/// What the store takes in a name.
fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+-._?=".contains(c)
}

fn named(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('.') || text.len() > 200 || !text.chars().all(is_legal) {
        return Err("a name has 1 to 200 letters, digits and +-._?=, and no dot in front".into());
    }
    Ok(text.to_owned())
}

/// A name the store takes.
fn store_name(file: &Path) -> String {
    // Of `.` and `..` too.
    let file = std::path::absolute(file).unwrap_or_else(|_| file.into());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let legal = |c: char| if is_legal(c) { c } else { '-' };
    let name: String = name.trim_start_matches('.').chars().map(legal).take(200).collect();
    if name.is_empty() { "image".into() } else { name }
}

/// A file's name without what tells its packing.
fn image_name(file: &str) -> String {
    let mut name = file;
    for end in
        ".gz .xz .zst .bz2 .tar .tgz .qcow2 .raw .img .iso .vhdx .vmdk .vdi .vhd .deb".split(' ')
    {
        name = name.strip_suffix(end).filter(|rest| !rest.is_empty()).unwrap_or(name);
    }
    name.to_owned()
}
