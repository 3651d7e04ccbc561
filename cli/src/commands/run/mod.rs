//! `hc run`: a machine that is gone when its command is.

mod image;

use super::build;
use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::evaluation::EvalArgs;
use crate::locks::LockArgs;
use hc_agent::{Generations, ThrowawayNetwork};
use hc_runtime::{RunConfig, Streams};
use hc_spec::image::Manifest;
use hc_spec::machine::SCHEMA;
use hc_spec::{HostSpec, MachineSpec, Name, Vm};
use image::Image;
use serde_json::{Map, Value, json};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Run a command in a throw-away machine, and remove it when the command has ended
///
/// It is a container, or with --vm a microVM with a kernel of its own. It is confined as every machine is, and has a terminal when it is run on one. What it writes is
/// gone with it. Other verbs (exec, cp, status) know it by its name while it runs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A microVM, with the kernel of one of this host's where none is named
    #[arg(long)]
    vm: bool,
    /// Its kernel: an image's name, its path or FLAKE#ATTRIBUTE
    #[arg(long, value_name = "IMAGE", requires_all = ["vm", "initrd"])]
    kernel: Option<String>,
    /// Its initrd, which has the kernel's modules: an image's name, its path or FLAKE#ATTRIBUTE
    #[arg(long, value_name = "IMAGE", requires_all = ["vm", "kernel"])]
    initrd: Option<String>,
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
    #[arg(long, value_name = "SOURCE:PATH[:rw]", value_parser = bind, conflicts_with = "vm")]
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
    /// Bytes of memory it may use, such as 256M (1024 each); a microVM has 256M
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
    /// ls`), its path, or FLAKE#ATTRIBUTE. Of several of one name it is the one that machines of this
    /// generation run from, or else the newest
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
    let image = Image::root(globals, args)?;
    let computer = args.vm.then(|| image::computer(globals, args)).transpose()?;
    let (vm, kernel) = computer.map_or((None, Vec::new()), |(vm, paths)| (Some(vm), paths));
    if vm.is_some() && args.command.is_empty() {
        needs_streams(globals, &image)?;
    }
    let spec = spec(args, &name, current.map(|(host, _)| host), &image, vm)?;
    let directory = globals.run_dir.join("machines").join(name.as_str());
    let mut config = RunConfig::new(directory.join("machine.json"));
    hc_fs::plain::create_dir_all(&directory, 0o755)?;
    let done = (|| {
        hc_fs::plain::write(&config.closure, spec.to_json().as_bytes(), 0o644)?;
        // As long as it runs, nothing takes its image away.
        for (index, path) in image.store_path.iter().chain(&kernel).enumerate() {
            let link = directory.join(format!("image{index}"));
            build::keep_link(&build::store(globals)?, Path::new(&path.to_string()), &link)?;
        }
        config.store_root.clone_from(&globals.store);
        config.state_dir.clone_from(&globals.state_dir);
        config.run_dir.clone_from(&globals.run_dir);
        config.throwaway = true;
        config.qemu = super::machine::program("qemu-system-x86_64");
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        config.streams = if terminal && !args.no_tty { Streams::Terminal } else { Streams::Own };
        Ok(hc_runtime::run(&config, &ThrowawayNetwork, &|_| Ok(())))
    })();
    let cleaned = hc_runtime::cleanup(&name, &globals.run_dir, Some(&globals.state_dir), None);
    let exit = done.and_then(|ran: Result<_, _>| ran.map_err(anyhow::Error::from))?;
    cleaned?;
    if let Some(error) = &exit.error {
        eprintln!("hc: {error}");
    }
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
    vm: Option<Vm>,
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
        "schema": SCHEMA, "name": name, "host": host, "cloud": cloud,
        "kind": if vm.is_some() { "microvm" } else { "container" },
        "image": {"rootfs": image.file},
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
    match (vm, args.memory) {
        (Some(vm), _) => {
            spec["vm"] = serde_json::to_value(vm)?;
            // An init has the console, and not the streams that are here.
            spec["init"] = json!(false);
        }
        (None, Some(bytes)) => spec["limits"] = json!({ "memory": bytes }),
        (None, None) => {}
    }
    if args.command.is_empty() && image.manifest.is_none() {
        return Err(Failure::new(Code::Failed, "the image has no command of its own")
            .hint(format!("name one: hc run {} -- PROGRAM", args.image))
            .into());
    }
    Ok(MachineSpec::from_json(spec.to_string().as_bytes())?)
}

/// Refuses an image whose own command is an init, which has the console of a microVM.
fn needs_streams(globals: &Globals, image: &Image) -> anyhow::Result<()> {
    let Some(manifest) = &image.manifest else { return Ok(()) };
    let text = std::fs::read(globals.physical(manifest))?;
    if Manifest::from_json(&text).is_ok_and(|manifest| manifest.config.init) {
        let message =
            "the image's own command is an init, which a throw-away microVM does not start";
        return Err(Failure::new(Code::Failed, message)
            .hint("name a program, or deploy a machine of kind \"microvm\"")
            .into());
    }
    Ok(())
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
