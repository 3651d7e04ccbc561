//! Who a machine is: the files that say so, laid over its image.

use crate::config::RunConfig;
use crate::error::{Doing, Hint, Problem, Res};
use crate::inside::files::{Contents, Laid};
use hc_spec::MachineSpec;
use hc_spec::addr::Place;
use std::fs::File;
use std::net::IpAddr;

/// Identity first, so that the machine's own files win.
pub(super) fn files(config: &RunConfig, spec: &MachineSpec) -> Res<Vec<Laid>> {
    let mut files = vec![
        Laid::text("/etc/hostname", format!("{}\n", spec.name)),
        Laid::text("/etc/hosts", hosts(spec)),
        Laid::text("/etc/resolv.conf", resolv_conf(spec, &config.dns)),
    ];
    let own = own_files(config, spec)?;
    files.retain(|laid| own.iter().all(|own| own.path != laid.path));
    files.extend(own);
    Ok(files)
}

/// The machine's own files, by path; those of the store are opened.
pub(crate) fn own_files(config: &RunConfig, spec: &MachineSpec) -> Res<Vec<Laid>> {
    let mut files = Vec::with_capacity(spec.files.len());
    for (path, file) in &spec.files {
        let shown = path.display();
        let mode = file.mode_bits().ok_or_else(|| {
            Problem::plain(format!("files: {shown}: mode '{}' is not octal", file.mode))
        })?;
        let contents = match (&file.text, &file.source) {
            (Some(text), _) => Contents::Text(text.clone()),
            (None, Some(source)) => {
                let source = config.physical(source);
                let file = File::open(&source)
                    .doing_with(|| format!("open {} for {shown}", source.display()))
                    .hint("; the machine's closure is not complete in the store: deploy again")?;
                let kind =
                    file.metadata().doing_with(|| format!("look at {}", source.display()))?;
                if !kind.is_file() {
                    let source = source.display();
                    return Err(Problem::plain(format!("files: {shown}: {source} is no file")));
                }
                Contents::File(file)
            }
            (None, None) => Contents::Text(String::new()),
        };
        files.push(Laid { path: path.clone(), mode, contents });
    }
    Ok(files)
}

pub(crate) fn places(spec: &MachineSpec) -> impl Iterator<Item = Place<'_>> {
    spec.networks.iter().map(|network| Place { cloud: &spec.cloud, host: &spec.host, network })
}

pub(crate) fn hosts(spec: &MachineSpec) -> String {
    let name = &spec.name;
    let mut text = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    for (index, place) in places(spec).enumerate() {
        let alias = if index == 0 { format!(" {name}") } else { String::new() };
        text += &format!("{} {name}.{}{alias}\n", place.v6(name), place.zone());
    }
    if spec.networks.is_empty() {
        text += &format!("127.0.1.1 {name}\n");
    }
    text
}

pub(crate) fn resolv_conf(spec: &MachineSpec, dns: &[IpAddr]) -> String {
    let gateway = places(spec).next().map(|place| IpAddr::V6(place.gateway()));
    let servers = if dns.is_empty() { gateway.as_slice() } else { dns };
    let mut text = String::new();
    for server in servers {
        text += &format!("nameserver {server}\n");
    }
    if let Some(first) = places(spec).next() {
        text += &format!("search {}\n", first.zone());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_follow_from_the_description() {
        let spec = |networks: &str| {
            MachineSpec::from_json(
                format!(
                    r#"{{"schema":1,"name":"web","host":"demo","cloud":"demo","kind":"container",
                    "image":{{"rootfs":"/r"}},"command":["x"],"networks":{networks},
                    "files":{{"/etc/hosts":{{"text":"mine"}}}}}}"#
                )
                .as_bytes(),
            )
            .unwrap()
        };
        let connected = spec(r#"["lan","dmz"]"#);
        insta::assert_snapshot!(hosts(&connected), @r"
        127.0.0.1 localhost
        ::1 localhost ip6-localhost ip6-loopback
        fd05:e5f6:4670:88b9:daa:f3e6:5963:6eb5 web.lan.demo.demo.internal web
        fd05:e5f6:4670:b2c7:daa:f3e6:5963:6eb5 web.dmz.demo.demo.internal
        ");
        insta::assert_snapshot!(resolv_conf(&connected, &[]), @r"
        nameserver fd05:e5f6:4670:88b9::1
        search lan.demo.demo.internal
        ");
        let alone = spec("[]");
        assert_eq!(resolv_conf(&alone, &[]), "");
        assert_eq!(resolv_conf(&alone, &["9.9.9.9".parse().unwrap()]), "nameserver 9.9.9.9\n");
        assert!(hosts(&alone).ends_with("127.0.1.1 web\n"));
        let files = files(&RunConfig::new("/c"), &alone).unwrap();
        let own: Vec<_> = files.iter().filter(|f| f.path.ends_with("hosts")).collect();
        assert!(matches!(&own[..], [Laid { contents: Contents::Text(t), .. }] if t == "mine"));
    }
}
