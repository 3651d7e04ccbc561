//! `hc image inspect`: one image.

use super::found;
use crate::context::Globals;
use crate::output;
use crate::progress::Progress;
use hc_image::config::Origin;

/// Show what an image was made from, and how it is run where a machine does not say
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name or store path of the image, or a link to it
    image: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let progress = Progress::new();
    progress.say("looking through the store");
    let image = found::one(globals, &args.image);
    progress.clear();
    let image = &image?;
    if args.json {
        return output::json(image);
    }
    let mut rows = vec![
        ("path", image.path.display().to_string()),
        ("kind", image.kind.name().to_owned()),
        ("size", output::bytes(image.size)),
        ("on disk", output::bytes(image.disk)),
        ("shared", if image.shared == 0 { String::new() } else { output::bytes(image.shared) }),
        ("machines", image.machines.join(", ")),
        ("disks", image.forks.join(", ")),
    ];
    if let Some(base) = &image.base {
        let copies = base.copy.iter().chain(&base.root);
        rows.extend(copies.map(|copy| ("base", copy.display().to_string())));
    }
    rows.extend(image.same_as.iter().map(|other| ("same as", other.display().to_string())));
    if let Some(manifest) = &image.manifest {
        let config = &manifest.config;
        let pairs = config.env.iter().map(|(key, value)| format!("{key}={value}"));
        rows.extend([
            ("command", config.command.join(" ")),
            ("env", pairs.collect::<Vec<_>>().join(" ")),
            ("user", config.user.clone().unwrap_or_default()),
            ("workdir", config.workdir.clone().unwrap_or_default()),
            ("stop signal", config.stop_signal.clone().unwrap_or_default()),
            ("ports", config.exposed_ports.join(", ")),
            ("volumes", config.volumes.join(", ")),
        ]);
        rows.extend(config.labels.iter().map(|(key, value)| ("label", format!("{key}={value}"))));
        if let Origin::Nixos { toplevel } = &manifest.origin {
            rows.push(("system", toplevel.clone()));
            rows.push(("closure", format!("{} paths", manifest.store.len())));
        }
        if let Origin::Oci { platform, layers, .. } = &manifest.origin {
            rows.push(("platform", platform.clone()));
            for layer in layers {
                let shared = image.shared_layers.contains(&layer.diff_id);
                let shared = if shared { ", in other images too" } else { "" };
                let size = output::bytes(layer.size);
                rows.push(("layer", format!("{} ({size}{shared})", layer.diff_id)));
            }
        }
    }
    if let Some(about) = &image.about {
        let names = |key: &str| about[key].as_array().map(Vec::as_slice).unwrap_or_default();
        let versions: Vec<String> = names("packages")
            .iter()
            .filter_map(|p| Some(format!("{} {}", p["name"].as_str()?, p["version"].as_str()?)))
            .collect();
        let modules: Vec<&str> = names("modules").iter().filter_map(|m| m.as_str()).collect();
        rows.push(("version", about["version"].as_str().unwrap_or_default().to_owned()));
        rows.push(("modules", modules.join(" ")));
        rows.extend(versions.into_iter().map(|package| ("package", package)));
    }
    for (key, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        output::line(format_args!("{key:12} {value}"))?;
    }
    Ok(())
}
