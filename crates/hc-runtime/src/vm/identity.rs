//! Who a virtual machine is, as its guest is told.

use crate::config::RunConfig;
use crate::error::{Doing, Problem, Res};
use crate::inside::files::{Contents, Laid};
use crate::network::Tap;
use crate::supervise::identity;
use hc_guest::wire;
use hc_spec::MachineSpec;
use hc_spec::addr::{CLOUD_V4, CLOUD_V6, Mac};
use hc_spec::machine::ReadyWhen;
use hc_spec::storage::{MEMORY, Placed, Tmpfs};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of entropy that a guest begins with.
const ENTROPY: usize = 64;
/// The most bytes of files; a message has room for them and the rest.
const FILES: u64 = 15 << 20;

/// Everything the guest is told, addresses and the rest.
/// `macs` are those of its devices.
pub(super) fn of(
    config: &RunConfig,
    spec: &MachineSpec,
    taps: &[Tap],
    macs: &[Mac],
) -> Res<wire::Identity> {
    let signal = crate::signal::number(spec.stop.signal()).and_then(|n| u8::try_from(n).ok());
    let stop_signal = signal.ok_or_else(|| {
        Problem::plain(format!("stop.signal: '{}' is no signal", spec.stop.signal()))
    })?;
    // The guest knows what powers an init off; what ends a command does not.
    let unsaid = spec.is_init() && spec.stop.signal.is_none();
    let stop_signal = if unsaid { 0 } else { stop_signal };
    let (interfaces, routes) = network(spec, taps, macs);
    Ok(wire::Identity {
        hostname: spec.name.to_string(),
        machine_id: machine_id(spec),
        hosts: Some(identity::hosts(spec)),
        resolver: Some(identity::resolv_conf(spec, &config.dns)),
        interfaces,
        routes,
        files: files(&identity::own_files(config, spec)?)?,
        entropy: Vec::new(),
        clock: 0,
        payload: wire::Payload {
            init: spec.is_init(),
            command: spec.command.clone(),
            environment: spec.env.clone().into_iter().collect(),
            user: spec.user.clone(),
            directory: spec.workdir.as_ref().map(|dir| dir.to_string_lossy().into_owned()),
            stop_signal,
            terminal: None,
            input: false,
        },
        readiness: match (spec.ready.when, spec.ready.port) {
            (ReadyWhen::Started, _) => wire::Readiness::Started,
            // Who is asked again and again says nothing by itself.
            (ReadyWhen::Notify | ReadyWhen::Http | ReadyWhen::Command, _) => {
                wire::Readiness::Notify
            }
            (ReadyWhen::Tcp, port) => wire::Readiness::Tcp(port.unwrap_or(0)),
        },
        mounts: mounts(spec)?,
    })
}

/// What is mounted in the root, whatever contains something else first.
fn mounts(spec: &MachineSpec) -> Res<Vec<wire::Mount>> {
    let mut mounts = Vec::new();
    // These the guest has already, and here they get their size.
    for (own, mode) in MEMORY.into_iter().zip([0o755, 0o1777]) {
        if let Some(Tmpfs { size: Some(size), .. }) = spec.tmpfs.get(Path::new(own)) {
            let what = wire::Mounted::Memory { size: Some(*size), mode };
            mounts.push(wire::Mount { path: own.into(), what });
        }
    }
    for (path, what) in crate::placed::all(spec) {
        let what = match what {
            Placed::Volume(name, volume) => {
                let index = spec.volumes.keys().position(|own| own == name).unwrap_or_default();
                let serial = super::command::volume(index);
                wire::Mounted::Disk { serial, read_only: volume.read_only }
            }
            Placed::Tmpfs(memory) => wire::Mounted::Memory {
                size: memory.size,
                mode: u32::from_str_radix(&memory.mode, 8).unwrap_or(0o1777),
            },
            // The description has none.
            Placed::Bind(_) | Placed::Device(_) => continue,
        };
        let shown = path.display();
        let path = path
            .to_str()
            .ok_or_else(|| Problem::plain(format!("{shown}: the path is not UTF-8")))?;
        mounts.push(wire::Mount { path: path.into(), what });
    }
    Ok(mounts)
}

/// The same with the time it is and random numbers that no other machine gets, nor this one again.
pub(super) fn now(identity: wire::Identity) -> Res<wire::Identity> {
    let mut entropy = vec![0; ENTROPY];
    rustix::rand::getrandom(&mut entropy, rustix::rand::GetRandomFlags::empty())
        .doing("get random numbers")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let clock = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    Ok(wire::Identity { clock, entropy, ..identity })
}

/// Follows from the machine's names: what is started again is the same machine.
pub(super) fn machine_id(spec: &MachineSpec) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in [spec.cloud.as_str(), "/", spec.host.as_str(), "/", spec.name.as_str()] {
        hasher.update(part.as_bytes());
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[16..]);
    // A UUID of version 4, as machine-id(5) has it.
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    id
}

/// The addresses that QEMU gives its devices: where a machine may be one of several copies of a saved
/// one they are everybody's, and the guest gives itself its own.
pub(super) fn macs(spec: &MachineSpec) -> Vec<Mac> {
    let copied = spec.vm.as_ref().is_some_and(|vm| vm.resume);
    let mac = |(index, own): (u8, Mac)| if copied { Mac([2, 0, 0, 0, 0, index]) } else { own };
    let networks = identity::places(spec).map(|place| place.mac(&spec.name));
    (0u8..).zip(networks.chain(spec.feet().map(|foot| foot.mac))).map(mac).collect()
}

/// The taps as QEMU takes them, with those addresses.
pub(super) fn devices<'t>(taps: &'t [Tap], macs: &[Mac]) -> Vec<(BorrowedFd<'t>, Mac)> {
    taps.iter().map(|tap| tap.descriptor.as_fd()).zip(macs.iter().copied()).collect()
}

/// In the family of that address.
fn everybody(like: IpAddr) -> wire::Address {
    let ip = match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    wire::Address { ip, prefix: 0 }
}

/// Its interfaces and its ways, of the devices with those links and addresses.
pub(super) fn network(
    spec: &MachineSpec,
    taps: &[Tap],
    macs: &[Mac],
) -> (Vec<wire::Interface>, Vec<wire::Route>) {
    let (mut interfaces, mut routes) = (Vec::new(), Vec::new());
    for (index, ((place, tap), device)) in identity::places(spec).zip(taps).zip(macs).enumerate() {
        let (machine, interface) = (&spec.name, format!("eth{index}"));
        let (gateway, gateway_v4) = (IpAddr::V6(place.gateway()), IpAddr::V4(place.gateway_v4()));
        let address = |ip: IpAddr, prefix| wire::Address { ip, prefix };
        let mac = place.gateway_mac().0;
        let route = |to, via| wire::Route { to, via, interface: interface.clone() };
        if index == 0 {
            routes.push(route(address(Ipv6Addr::UNSPECIFIED.into(), 0), Some(gateway)));
            routes.push(route(address(Ipv4Addr::UNSPECIFIED.into(), 0), Some(gateway_v4)));
            // Whatever routers say of everybody else.
            if !spec.lan.is_empty() {
                let ((v4, bits_v4), (v6, bits_v6)) = (CLOUD_V4, CLOUD_V6);
                routes.push(route(address(v6.into(), bits_v6), Some(gateway)));
                routes.push(route(address(v4.into(), bits_v4), Some(gateway_v4)));
            }
        } else {
            routes.push(route(address(gateway_v4, 32), None));
        }
        interfaces.push(wire::Interface {
            device: device.0,
            mac: place.mac(machine).0,
            name: interface.clone(),
            mtu: Some(tap.mtu),
            addresses: vec![
                address(place.v6(machine).into(), 64),
                address(place.v4(machine).into(), 32),
            ],
            neighbours: [gateway, gateway_v4].map(|ip| wire::Neighbour { ip, mac }).to_vec(),
        });
    }
    let rest = taps.iter().zip(macs).skip(interfaces.len());
    for (foot, (tap, device)) in spec.feet().zip(rest) {
        for gateway in &foot.lan.gateways {
            let to = everybody(*gateway);
            // Instead of the one over its first network, which stays the way to the cloud.
            routes.retain(|route| route.to != to);
            routes.push(wire::Route { to, via: Some(*gateway), interface: foot.ifname() });
        }
        let addresses = foot.lan.addresses.iter();
        let addresses =
            addresses.map(|own| wire::Address { ip: own.addr(), prefix: own.prefix_len() });
        interfaces.push(wire::Interface {
            device: device.0,
            mac: foot.mac.0,
            name: foot.ifname(),
            mtu: Some(tap.mtu),
            addresses: addresses.collect(),
            neighbours: Vec::new(),
        });
    }
    (interfaces, routes)
}

fn files(laid: &[Laid]) -> Res<Vec<wire::LaidFile>> {
    let mut left = FILES;
    let mut files = Vec::with_capacity(laid.len());
    for file in laid {
        let shown = file.path.display();
        let path = file
            .path
            .to_str()
            .ok_or_else(|| Problem::plain(format!("files: {shown}: its name is not UTF-8")))?;
        let mut contents = Vec::new();
        match &file.contents {
            Contents::Text(text) => contents.extend_from_slice(text.as_bytes()),
            Contents::File(source) => {
                let read = source.take(left + 1).read_to_end(&mut contents);
                read.doing_with(|| format!("read the source of {shown}"))?;
            }
        }
        left = left.checked_sub(contents.len() as u64).ok_or_else(|| {
            let most = FILES >> 20;
            Problem::plain(format!(
                "files: {shown}: a virtual machine's files may have {most} MiB in all; put it \
                 into the image"
            ))
        })?;
        files.push(wire::LaidFile {
            path: path.into(),
            mode: file.mode,
            contents,
            ..Default::default()
        });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_function_of_the_description_but_for_time_and_chance() {
        let text = r#"{"schema":1,"name":"db","host":"demo","cloud":"demo","kind":"microvm",
            "image":{"rootfs":"/r"},"command":["x","y"],"networks":["lan","dmz"],"env":{"A":"b"},
            "files":{"/etc/motd":{"text":"hello","mode":"0600"}},"ready":{"when":"tcp","port":5432},
            "vm":{"kernel":"/k","initrd":"/i","memory":268435456,"vcpus":1,"layerSize":67108864}}"#;
        let spec = MachineSpec::from_json(text.as_bytes()).unwrap();
        let tap =
            || Tap { descriptor: std::fs::File::open("/dev/null").unwrap().into(), mtu: 1400 };
        let of = || {
            let identity = of(&RunConfig::new("/c"), &spec, &[tap(), tap()], &macs(&spec));
            now(identity.unwrap()).unwrap()
        };
        let (mut one, mut other) = (of(), of());
        assert_ne!(one.entropy, other.entropy);
        assert!(one.clock > 1_700_000_000_000_000_000);
        for identity in [&mut one, &mut other] {
            (identity.entropy, identity.clock) = (Vec::new(), 0);
        }
        assert_eq!(one, other);
        let eth0 = &one.interfaces[0];
        let shown = |address: &wire::Address| format!("{}/{}", address.ip, address.prefix);
        assert_eq!((&*eth0.name, eth0.device, eth0.mtu), ("eth0", eth0.mac, Some(1400)));
        assert_eq!(
            eth0.addresses.iter().map(shown).collect::<Vec<_>>(),
            ["fd05:e5f6:4670:88b9:a4bb:ad84:8cec:e8fb/64", "100.115.163.170/32"]
        );
        assert!(eth0.neighbours.iter().all(|n| n.mac == [2, 0xf6, 0x46, 0x70, 0x88, 0xb9]));
        let routes = one.routes.iter().map(|route| {
            let via = route.via.map_or("-".into(), |via| via.to_string());
            format!("{} {via} {}", shown(&route.to), route.interface)
        });
        insta::assert_snapshot!(routes.collect::<Vec<_>>().join("\n"), @r"
        ::/0 fd05:e5f6:4670:88b9::1 eth0
        0.0.0.0/0 100.70.2.135 eth0
        100.102.1.241/32 - eth1
        ");
        let mut exposed = spec.clone();
        let lan = r#"{"addresses":["192.0.2.7/24"],"gateways":["192.0.2.1"]}"#;
        exposed.lan.insert("enp1s0".into(), serde_json::from_str(lan).unwrap());
        let (interfaces, routes) = network(&exposed, &[tap(), tap(), tap()], &macs(&exposed));
        let lan0 = &interfaces[2];
        assert_eq!((&*lan0.name, lan0.device, lan0.mac), ("lan0", lan0.mac, macs(&exposed)[2].0));
        assert_eq!(shown(&lan0.addresses[0]), "192.0.2.7/24");
        assert!(lan0.neighbours.is_empty());
        let routes = routes.iter().map(|route| {
            let via = route.via.map_or("-".into(), |via| via.to_string());
            format!("{} {via} {}", shown(&route.to), route.interface)
        });
        insta::assert_snapshot!(routes.collect::<Vec<_>>().join("\n"), @r"
        ::/0 fd05:e5f6:4670:88b9::1 eth0
        fd00::/8 fd05:e5f6:4670:88b9::1 eth0
        100.64.0.0/10 100.70.2.135 eth0
        100.102.1.241/32 - eth1
        0.0.0.0/0 192.0.2.1 lan0
        ");
        assert_eq!((one.machine_id[6] >> 4, one.machine_id[8] >> 6), (4, 2));
        assert_eq!(one.readiness, wire::Readiness::Tcp(5432));
        let [file] = &one.files[..] else { panic!("{:?}", one.files) };
        assert_eq!((&*file.path, file.mode, &*file.contents), ("/etc/motd", 0o600, &b"hello"[..]));
    }
}
