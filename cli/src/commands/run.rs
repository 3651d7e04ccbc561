//! `hc run`: a machine that is gone when its command is.

use super::build::{self, Report, Source, Target, targets};
use super::image::found::{self, Kind};
use crate::context::Globals;
use crate::error::{Code, Coded, Failure};
use crate::evaluation::{EvalArgs, LockArgs};
use hc_agent::{Generations, ThrowawayNetwork};
use hc_runtime::{RunConfig, Streams};
use hc_spec::machine::SCHEMA;
use hc_spec::{HostSpec, MachineSpec, Name};
use nix_store::{BuildMode, DrvOutput, StorePath};
use serde_json::{Map, Value, json};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Run a command in a throw-away container, and remove it when the command has ended
///
/// It is confined as every machine is, and has a terminal when it is run on one. What it writes is
/// gone with it. Other verbs (exec, cp, status) know it by its name while it runs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Give it a name instead of `run-` and a number
    #[arg(long)]
    name: Option<Name>,
    /// Networks of this host that it is connected to; `lan` where there is one
    #[arg(long, value_name = "NETWORK", conflicts_with = "no_network")]
    network: Vec<Name>,
    /// No network but its own loopback
    #[arg(long)]
    no_network: bool,
    /// Show it a file or directory of the host, read-only without `:rw`
    #[arg(long, value_name = "SOURCE:PATH[:rw]", value_parser = bind)]
    bind: Vec<(String, Value)>,
    /// Set a variable
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = super::exec::variable)]
    env: Vec<(String, String)>,
    /// User in the image: a name, or UID[:GID]
    #[arg(short, long)]
    user: Option<String>,
    /// Directory in the image
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Bytes of memory it may use, such as 256M (1024 each)
    #[arg(long, value_name = "BYTES", value_parser = super::gc::size)]
    memory: Option<u64>,
    /// Never give it a terminal
    #[arg(long)]
    no_tty: bool,
    #[command(flatten)]
    evaluation: EvalArgs,
    #[command(flatten)]
    lock: LockArgs,
    /// A machine of this host whose image it has, the name of an image in the store (`hc image
    /// ls`), its path, or FLAKE#ATTRIBUTE
    image: String,
    /// Program and arguments; the image's own when there are none
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn bind(text: &str) -> Result<(String, Value), String> {
    let mut parts = text.split(':');
    let (Some(source), Some(path), how, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("write SOURCE:PATH, or SOURCE:PATH:rw".into());
    };
    let read_only = match how {
        None | Some("ro") => true,
        Some("rw") => false,
        Some(other) => return Err(format!("'{other}' is neither ro nor rw")),
    };
    let source = std::path::absolute(source).map_err(|error| error.to_string())?;
    Ok((path.into(), json!({"source": source, "readOnly": read_only})))
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<ExitCode> {
    Globals::need_root("run")?;
    let _ = hc_runtime::sweep(&globals.run_dir, &globals.state_dir, None, &ThrowawayNetwork)?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => Name::new(format!("run-{}", std::process::id()))?,
    };
    let current = current(globals)?;
    let known = current.as_ref().is_some_and(|(_, names)| names.contains(&name));
    if known || globals.run_dir.join("machines").join(name.as_str()).exists() {
        return Err(Failure::new(Code::Failed, format!("there is a machine '{name}' already"))
            .hint("choose another --name")
            .into());
    }
    let image = image(globals, args)?;
    let spec = spec(args, &name, current.map(|(host, _)| host), &image)?;
    let directory = globals.run_dir.join("machines").join(name.as_str());
    let mut config = RunConfig::new(directory.join("machine.json"));
    hc_fs::plain::create_dir_all(&directory, 0o755)?;
    let done = (|| {
        hc_fs::plain::write(&config.closure, spec.to_json().as_bytes(), 0o644)?;
        if let Some(path) = &image.store_path {
            // As long as it runs, nothing takes its image away.
            build::keep_link(&build::store(globals)?, path, &directory.join("image"))?;
        }
        config.store_root.clone_from(&globals.store);
        config.state_dir.clone_from(&globals.state_dir);
        config.run_dir.clone_from(&globals.run_dir);
        config.throwaway = true;
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        config.streams = if terminal && !args.no_tty { Streams::Terminal } else { Streams::Own };
        Ok(hc_runtime::run(&config, &ThrowawayNetwork, &|_| Ok(())))
    })();
    let cleaned = hc_runtime::cleanup(&name, &globals.run_dir, Some(&globals.state_dir), None);
    let exit = done.and_then(|ran: Result<_, _>| ran.map_err(anyhow::Error::from))?;
    cleaned?;
    if exit.oom {
        eprintln!("hc: it ran out of memory");
    }
    Ok(ExitCode::from(u8::try_from(exit.shell_code()).unwrap_or(u8::MAX)))
}

/// The host as it is deployed, and its machines.
fn current(globals: &Globals) -> anyhow::Result<Option<(HostSpec, Vec<Name>)>> {
    let generations = Generations::new(&globals.state_dir);
    let Some(number) = generations.current()? else { return Ok(None) };
    let set = hc_agent::read_set(globals.store.as_deref(), &generations.set(number)?)?;
    Ok(Some((set.host, set.machines.into_keys().collect())))
}

fn spec(
    args: &Args,
    name: &Name,
    host: Option<HostSpec>,
    image: &Image,
) -> anyhow::Result<MachineSpec> {
    let lan = Name::new("lan")?;
    let networks = match &host {
        _ if args.no_network => Vec::new(),
        Some(host) if args.network.is_empty() && host.networks.contains_key(&lan) => vec![lan],
        Some(host) => {
            if let Some(missing) =
                args.network.iter().find(|name| !host.networks.contains_key(*name))
            {
                return Err(Failure::new(
                    Code::Failed,
                    format!("this host has no network '{missing}'"),
                )
                .into());
            }
            args.network.clone()
        }
        None if args.network.is_empty() => Vec::new(),
        None => {
            let message = "nothing is deployed on this host, so it has no networks";
            return Err(Failure::new(Code::Failed, message).hint("hc deploy FLAKE").into());
        }
    };
    let (cloud, host) = match host {
        Some(host) => (host.cloud.to_string(), host.host.to_string()),
        None => ("local".into(), "local".into()),
    };
    let mut spec = json!({
        "schema": SCHEMA, "name": name, "host": host, "cloud": cloud, "kind": "container",
        "image": {"rootfs": image.rootfs},
        "command": args.command,
        "env": args.env.iter().cloned().map(|(k, v)| (k, Value::from(v))).collect::<Map<_, _>>(),
        "networks": networks,
        "binds": args.bind.iter().cloned().collect::<Map<_, _>>(),
        "restart": {"policy": "never"},
    });
    if let Some(manifest) = &image.manifest {
        spec["image"]["manifest"] = json!(manifest);
    }
    if let Some(user) = &args.user {
        spec["user"] = json!(user);
    }
    if let Some(workdir) = &args.workdir {
        spec["workdir"] = json!(workdir);
    }
    if let Some(bytes) = args.memory {
        spec["limits"] = json!({ "memory": bytes });
    }
    if args.command.is_empty() && image.manifest.is_none() {
        return Err(Failure::new(Code::Failed, "the image has no command of its own")
            .hint(format!("name one: hc run {} -- PROGRAM", args.image))
            .into());
    }
    Ok(MachineSpec::from_json(spec.to_string().as_bytes())?)
}

/// What a container runs from.
struct Image {
    rootfs: PathBuf,
    manifest: Option<PathBuf>,
    store_path: Option<StorePath>,
}

impl Image {
    /// A directory with an image in it; paths in the store are as they are seen there.
    fn at(globals: &Globals, directory: &Path) -> Option<Self> {
        let rootfs = directory.join("rootfs.erofs");
        globals.physical(&rootfs).exists().then(|| {
            let manifest = directory.join("manifest.json");
            let basename = directory.strip_prefix("/nix/store").ok();
            let basename = basename.and_then(|name| name.to_str());
            Self {
                manifest: globals.physical(&manifest).exists().then_some(manifest),
                store_path: basename
                    .and_then(|name| StorePath::from_basename(name.as_bytes()).ok()),
                rootfs,
            }
        })
    }
}

fn image(globals: &Globals, args: &Args) -> anyhow::Result<Image> {
    let name = args.image.as_str();
    let none = |what: &str| -> anyhow::Error {
        Failure::new(Code::Failed, format!("'{name}' is no image: {what}"))
            .hint("`hc image ls` lists those in the store")
            .into()
    };
    if name.contains('#') {
        let built = built(globals, args)?;
        return Image::at(globals, &built)
            .ok_or_else(|| none(&format!("{} has no rootfs.erofs", built.display())));
    }
    if name.contains('/') {
        // A link such as `result` leads into the store, wherever that is.
        let path = std::fs::canonicalize(globals.physical(Path::new(name)))
            .or_else(|_| std::fs::canonicalize(name));
        let path = path.map_err(|error| none(&error.to_string()))?;
        let path = match globals.store.as_ref().map(|root| path.strip_prefix(root)) {
            Some(Ok(below)) => Path::new("/").join(below),
            _ => path,
        };
        return Image::at(globals, &path).ok_or_else(|| none("there is no rootfs.erofs in it"));
    }
    if let Some(image) = of_machine(globals, name)? {
        return Ok(image);
    }
    let mut found = found::all(globals)?;
    found.retain(|image| image.name == name && matches!(image.kind, Kind::Rootfs | Kind::Nixos));
    match &found[..] {
        [] => Err(none("there is none of that name in the store, and no machine")),
        [image] => Image::at(globals, &image.path).ok_or_else(|| none("it has no rootfs.erofs")),
        several => {
            let paths: Vec<_> = several.iter().map(|i| i.path.display().to_string()).collect();
            let message = format!("there are several images '{name}': {}", paths.join(" "));
            Err(Failure::new(Code::Failed, message).hint("name one by its path").into())
        }
    }
}

/// The image of a machine of the current generation.
fn of_machine(globals: &Globals, name: &str) -> anyhow::Result<Option<Image>> {
    let generations = Generations::new(&globals.state_dir);
    let Some(number) = generations.current()? else { return Ok(None) };
    let set = hc_agent::read_set(globals.store.as_deref(), &generations.set(number)?)?;
    let closure = set.machines.iter().find(|(machine, _)| machine.as_str() == name);
    let Some((_, closure)) = closure else { return Ok(None) };
    let spec = MachineSpec::from_json(&std::fs::read(globals.physical(closure))?)?;
    let directory = spec.image.rootfs().parent().map(Path::to_path_buf);
    Ok(directory.and_then(|directory| Image::at(globals, &directory)))
}

/// Builds what a flake says.
fn built(globals: &Globals, args: &Args) -> anyhow::Result<PathBuf> {
    let store = build::store(globals)?;
    let report = Report::new(false);
    let source = Source {
        targets: vec![args.image.as_str()],
        file: None,
        expr: None,
        evaluation: &args.evaluation,
        lock: &args.lock,
        fetch: Some(&report),
    };
    let targets = targets(globals, &store, &source)?;
    let wanted: Vec<DrvOutput> = targets.iter().flat_map(Target::outputs).collect();
    let built = store.build_in_mode(&wanted, BuildMode::Normal, &report);
    report.clear();
    let built = built.code(Code::Build)?;
    let mut paths = targets.iter().flat_map(|target| target.paths(&built));
    let (_, path) = paths
        .next()
        .ok_or_else(|| Failure::new(Code::Failed, format!("'{}' makes nothing", args.image)))?;
    Ok(Path::new("/nix/store").join(path.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_have_a_source_and_a_place() {
        let (path, bind_) = bind("/srv/x:/y").unwrap();
        assert_eq!((path.as_str(), bind_), ("/y", json!({"source": "/srv/x", "readOnly": true})));
        assert_eq!(bind("/srv/x:/y:rw").unwrap().1["readOnly"], false);
        assert!(bind("rel:/y").unwrap().1["source"].as_str().unwrap().starts_with('/'));
        for wrong in ["/x", "/x:/y:z", "/a:/b:ro:c"] {
            assert!(bind(wrong).is_err(), "{wrong}");
        }
    }
}
