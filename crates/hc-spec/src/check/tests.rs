use super::*;
use crate::host::{Published, Service};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A host with networks `lan` and `dmz`: `web` on the first, `db` on the second, `both` on both.
fn host(allow: &[&str]) -> HostSpec {
    let mut host = HostSpec::new(name("c"), name("h"));
    for network in ["lan", "dmz", "same"] {
        host.networks.insert(name(network), Default::default());
    }
    host.allow = allow.iter().map(|text| text.parse().unwrap()).collect();
    host
}

fn check(host: &mut HostSpec) -> Vec<String> {
    let networks = [
        ("web", vec![name("lan")]),
        ("db", vec![name("dmz")]),
        ("both", vec![name("lan"), name("dmz")]),
        ("same", vec![name("lan")]),
        ("alone", vec![]),
    ];
    let networks = networks.map(|(machine, on)| (name(machine), on));
    let machines = networks.iter().map(|(machine, on)| (machine, &on[..])).collect();
    resolve(host, &machines).err().map_or_else(Vec::new, |problems| problems.0)
}

#[test]
fn short_forms_are_written_out() {
    let mut host = host(&[
        "web -> db:5432",
        "both -> db:1",
        "lan -> dmz",
        "outside -> both:22",
        "web -> host:1",
    ]);
    assert_eq!(check(&mut host), [""; 0]);
    let all: Vec<String> = host.allow.iter().map(ToString::to_string).collect();
    insta::assert_debug_snapshot!(all, @r#"
[
    "both.lan -> db.dmz:1/tcp",
    "web.lan -> db.dmz:5432/tcp",
    "web.lan -> host:1/tcp",
    "*.lan -> *.dmz",
    "outside -> both.dmz:22/tcp",
    "outside -> both.lan:22/tcp",
]
"#);
    let again = host.clone();
    assert_eq!(check(&mut host), [""; 0]);
    assert_eq!(host, again, "full forms stay what they are");
}

#[test]
fn allowances_that_make_no_sense() {
    let mut host = host(&[
        "web -> nobody:80",
        "web -> same:1",
        "web.dmz -> db",
        "ghost.lan -> db",
        "*.wan -> db",
        "web -> both.lan",
        "alone -> db",
        "web -> web",
    ]);
    insta::assert_debug_snapshot!(check(&mut host), @r#"
[
    "hosts.h.allow: 'web -> nobody:80/tcp': there is no machine and no network 'nobody' on this host; the networks are dmz, lan, same",
    "hosts.h.allow: 'web -> same:1/tcp': 'same' is a machine and a network: write *.same for the network, or same.NETWORK for the machine",
    "hosts.h.allow: 'web.dmz -> db': machine 'web' is not on network 'dmz'; it is on lan",
    "hosts.h.allow: 'ghost.lan -> db': there is no machine 'ghost' on this host",
    "hosts.h.allow: '*.wan -> db': there is no network 'wan'; the networks are dmz, lan, same",
    "hosts.h.allow: 'web -> both.lan': both are on one network, where everybody reaches everybody: take it out, or put them on different networks",
    "hosts.h.allow: 'alone -> db': machine 'alone' is on no network",
    "hosts.h.allow: 'web -> web': both are on one network, where everybody reaches everybody: take it out, or put them on different networks",
]
"#);
}

fn publish(host: &mut HostSpec, machine: &str, ports: &[(u16, Option<&str>, Option<&str>)]) {
    let ports = ports.iter().map(|(port, listen, network)| Published {
        host: *port,
        port: 80,
        protocol: Protocol::Tcp,
        listen: listen.map(|address| address.parse().unwrap()),
        network: network.map(name),
    });
    host.machines.insert(name(machine), Service { ports: ports.collect(), ..Service::default() });
}

#[test]
fn ports_lead_somewhere_and_only_there() {
    let mut good = host(&[]);
    publish(
        &mut good,
        "web",
        &[(80, Some("192.0.2.1"), None), (80, Some("::"), None), (53, Some("192.0.2.1"), None)],
    );
    publish(&mut good, "db", &[(80, Some("192.0.2.2"), None), (81, None, Some("dmz"))]);
    assert_eq!(check(&mut good), [""; 0]);
    let networks: Vec<_> =
        good.published().map(|(_, port)| port.network.clone().unwrap()).collect();
    assert_eq!(networks, ["dmz", "dmz", "lan", "lan", "lan"].map(name));
    let mut bad = host(&[]);
    publish(
        &mut bad,
        "web",
        &[(80, None, None), (81, Some("0.0.0.0"), None), (53, None, None), (0, None, None)],
    );
    publish(&mut bad, "db", &[(80, Some("192.0.2.2"), None), (81, Some("192.0.2.2"), Some("lan"))]);
    publish(&mut bad, "alone", &[(82, None, None)]);
    insta::assert_debug_snapshot!(check(&mut bad), @r#"
[
    "hosts.h.machines.alone.ports: port 82/tcp of the host leads nowhere: the machine is on no network",
    "hosts.h.machines.db.ports: port 81/tcp of the host leads over network 'lan', which the machine is not on",
    "hosts.h.machines.web.ports: port 80/tcp of the host is published for machine 'db' and for machine 'web': take another port for one of them, or different addresses with `listen`",
    "hosts.h.machines.web.ports: port 81/tcp of the host is published for machine 'db' and for machine 'web': take another port for one of them, or different addresses with `listen`",
    "hosts.h.machines.web.ports: port 53/tcp of the host is where hc's own name server is asked: name the address with `listen`",
    "hosts.h.machines.web.ports: port 0/tcp of the host cannot be published: ports are 1 to 65535",
]
"#);
}

#[test]
fn names_are_given_once() {
    let mut host = host(&[]);
    for (machine, alias) in [("web", "www"), ("both", "www"), ("db", "both")] {
        let service = Service { aliases: vec![name(alias)], ..Service::default() };
        host.machines.insert(name(machine), service);
    }
    insta::assert_debug_snapshot!(check(&mut host), @r#"
[
    "hosts.h.machines.db.aliases: 'both' is already a name of machine 'both' on network 'dmz': take another name",
    "hosts.h.machines.web.aliases: 'www' is already a name of machine 'both' on network 'lan': take another name",
]
"#);
}

#[test]
fn domain_names_are_never_cut() {
    let long = |letter: &str| name(&letter.repeat(63));
    let mut host = HostSpec::new(long("c"), long("h"));
    let networks = [long("n")];
    host.networks.insert(networks[0].clone(), Default::default());
    let machine = long("m");
    let check =
        |host: &mut HostSpec, machine: &Name| resolve(host, &[(machine, &networks[..])].into());
    let problems = check(&mut host, &machine).unwrap_err().to_string();
    assert!(problems.contains("which is 264 bytes long; 253 is the most"), "{problems}");
    // Only just.
    let fits = name(&"m".repeat(52));
    assert!(check(&mut host, &fits).is_ok());
    assert!(check(&mut host, &name(&"m".repeat(53))).is_err());
}

#[test]
fn collisions_name_both_and_a_way_out() {
    let (cloud, on) = (name("c"), name("n"));
    let mut host = HostSpec::new(cloud, name("h"));
    host.networks.insert(on.clone(), Default::default());
    // The 22 bits of IPv4 collide first: by birthday, within a few thousand machines.
    let names: Vec<Name> = (0..8000).map(|i| name(&format!("m{i}"))).collect();
    let networks = [on.clone()];
    let machines: Machines<'_> = names.iter().map(|name| (name, &networks[..])).collect();
    let problems = resolve(&mut host, &machines).unwrap_err().0;
    insta::assert_snapshot!(problems[0], @r"machine 'm1461' on network 'n' and machine 'm2610' on network 'n' both get the IPv4 address 100.126.99.10: rename one of them");
    assert!(problems.iter().all(|problem| problem.contains("the IPv4 address")));
    let few: Machines<'_> = machines.into_iter().take(10).collect();
    assert!(resolve(&mut host, &few).is_ok());
    // The 16 bits of a network do within a few hundred.
    let mut host = HostSpec::new(name("c"), name("h"));
    host.networks.extend((0..1000).map(|i| (name(&format!("n{i}")), Default::default())));
    let problems = resolve(&mut host, &Machines::new()).unwrap_err().0;
    insta::assert_snapshot!(problems[0], @r"network 'n322' and network 'n47' both get the prefix fdb4:5d78:d729:bc12::/64: rename one of them");
}

#[test]
fn an_ipv4_address_is_one_of_the_whole_host() {
    let mut host = HostSpec::new(name("c"), name("h"));
    let networks: Vec<Name> = (0..80).map(|i| name(&format!("x{i}"))).collect();
    host.networks.extend(networks.iter().map(|n| (n.clone(), Default::default())));
    let names: Vec<Name> = (0..60).map(|i| name(&format!("m{i}"))).collect();
    let machines: Machines<'_> = names.iter().map(|name| (name, &networks[..])).collect();
    let problems = resolve(&mut host, &machines).unwrap_err().0;
    // Found although the two are on different networks.
    let apart = problems.iter().any(|p| p.matches("on network").count() == 2 && p.contains("IPv4"));
    assert!(apart, "{problems:?}");
}

#[test]
fn what_is_written_wrong_is_named_with_its_option() {
    let description = serde_json::json!({
        "host": "h", "allow": ["web -> db", "web > db", "web -> db:http"],
        "machines": {"web": {
            "ports": [{"host": 1, "port": 2, "listen": "eth0"}, {"host": 2, "port": 2}],
            "aliases": ["www", "WWW"], "services": {"_http": {"port": 80}},
        }},
    });
    insta::assert_debug_snapshot!(written(&description).unwrap_err().0, @r#"
[
    "hosts.h.allow: 'web > db' is no allowance: it needs one '->'; write it like \"web -> db:5432\" or \"*.lan -> dns.dmz:53/udp,53\"",
    "hosts.h.allow: 'web -> db:http' is no allowance: 'http' is no port: ports are 1 to 65535; write it like \"web -> db:5432\" or \"*.lan -> dns.dmz:53/udp,53\"",
    "hosts.h.machines.web.ports: 'eth0' is no address to listen on",
    "hosts.h.machines.web.aliases: 'WWW' is not a name: use 1 to 63 lower-case letters, digits and '-', starting with a letter and not ending with '-'",
    "hosts.h.machines.web.services: '_http' is not a name: use 1 to 63 lower-case letters, digits and '-', starting with a letter and not ending with '-'",
]
"#);
    assert!(written(&serde_json::json!({"host": "h", "allow": []})).is_ok());
    assert!(written(&serde_json::json!([])).is_ok());
}

#[test]
fn hosts_have_addresses_of_their_own() {
    use crate::host::{Overlay, OverlayMode, Peer};
    let mut host = HostSpec::new(name("c"), name("a"));
    let peer = |address: &str| Peer {
        address: address.parse().unwrap(),
        networks: [].into(),
        public_key: None,
        ssh: None,
    };
    let mut overlay = Overlay {
        mode: OverlayMode::Plain,
        address: "192.0.2.1".parse().unwrap(),
        peers: [(name("b"), peer("192.0.2.2"))].into(),
        allow: Vec::new(),
    };
    host.overlay = Some(overlay.clone());
    assert_eq!(check(&mut host), [""; 0]);
    overlay.peers.insert(name("d"), peer("192.0.2.1"));
    overlay.peers.insert(name("e"), peer("2001:db8::1"));
    host.overlay = Some(overlay);
    insta::assert_debug_snapshot!(check(&mut host), @r#"
[
    "hosts.d.address: 192.0.2.1 is the address of host 'a' already",
    "hosts.e.address: 2001:db8::1 is of another family than 192.0.2.1 of host 'a': hosts reach each other over IPv4 or over IPv6",
]
"#);
}

#[test]
fn keys_are_keys_and_ssh_reaches_hosts() {
    use crate::host::{Overlay, Peer};
    let peer = |last: u8, key: Option<&str>, ssh: &str| Peer {
        address: [192, 0, 2, last].into(),
        networks: [].into(),
        public_key: key.map(str::to_owned),
        ssh: Some(ssh.to_owned()),
    };
    let mut host = HostSpec::new(name("c"), name("a"));
    host.overlay = Some(Overlay {
        mode: OverlayMode::Wireguard,
        address: [192, 0, 2, 1].into(),
        peers: [
            (
                name("b"),
                peer(2, Some("xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="), "root@b.example:22"),
            ),
            (name("d"), peer(4, Some("xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dh="), "[::1]")),
            (name("e"), peer(5, Some("key"), "e")),
            (name("f"), peer(6, None, "-oProxyCommand=x")),
        ]
        .into(),
        allow: Vec::new(),
    });
    insta::assert_debug_snapshot!(check(&mut host), @r#"
[
    "hosts.d.publicKey: 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dh=' is no public key: it is what `hc net key` prints on that host",
    "hosts.e.publicKey: 'key' is no public key: it is what `hc net key` prints on that host",
    "hosts.f.ssh: '-oProxyCommand=x' is no place to reach over ssh: write it like root@host.example:2222",
]
"#);
}

#[test]
fn allowances_between_hosts_say_everything() {
    use crate::host::{Overlay, OverlayMode, Peer};
    let mut host = HostSpec::new(name("c"), name("a"));
    host.networks = [(name("lan"), crate::NetworkSpec::default())].into();
    let peer = Peer {
        address: [192, 0, 2, 2].into(),
        networks: [name("lan"), name("dmz")].into(),
        public_key: None,
        ssh: None,
    };
    let allow = [
        "web.lan.a -> db.dmz.b:80",
        "*.lan.a -> *.dmz.b",
        "web.lan.a -> db.lan.b",
        "web.lan -> db.dmz.b",
        "web.lan.z -> db.dmz.b",
        "db.dmz.b -> web.dmz.a",
        "db.dmz.b -> bew.lan.a",
        "db.dmz.b -> web.lan.b",
    ];
    host.overlay = Some(Overlay {
        mode: OverlayMode::Plain,
        address: [192, 0, 2, 1].into(),
        peers: [(name("b"), peer)].into(),
        allow: allow.map(|text| text.parse().unwrap()).into(),
    });
    let (lan, web) = ([name("lan")], name("web"));
    let machines: super::Machines<'_> = [(&web, &lan[..])].into();
    let mut problems = Vec::new();
    super::far::allowances(&host, host.overlay.as_ref().unwrap(), &machines, &mut problems);
    insta::assert_debug_snapshot!(problems, @r#"
[
    "overlay.allow: 'web.lan.a -> db.lan.b': both are on networks of one name, where everybody reaches everybody: take it out",
    "overlay.allow: 'web.lan -> db.dmz.b': 'web.lan' says no host: write MACHINE.NETWORK.HOST, or *.NETWORK.HOST for a network",
    "overlay.allow: 'web.lan.z -> db.dmz.b': there is no host 'z' that others reach",
    "overlay.allow: 'db.dmz.b -> web.dmz.a': host 'a' has no network 'dmz'",
    "overlay.allow: 'db.dmz.b -> web.dmz.a': both are on networks of one name, where everybody reaches everybody: take it out",
    "overlay.allow: 'db.dmz.b -> bew.lan.a': there is no machine 'bew' on host 'a'",
    "overlay.allow: 'db.dmz.b -> web.lan.b': both are on host 'b': that belongs into hosts.b.allow",
]
"#);
}
