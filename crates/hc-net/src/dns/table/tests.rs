use super::super::MachineNames;
use super::*;
use hc_spec::host::Offered;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// `web` and `db` on `lan`, `log` on `dmz`; `web` may reach `log`.
fn names(state: State) -> Names {
    let offered = Offered { port: 80, protocol: Default::default(), priority: 1, weight: 2 };
    let machine = |network: &str| MachineNames {
        networks: [name(network)].into(),
        state,
        ..MachineNames::default()
    };
    let web = MachineNames {
        aliases: vec![name("www")],
        services: [(name("http"), offered.clone())].into(),
        ..machine("lan")
    };
    let db = MachineNames { services: [(name("http"), offered)].into(), ..machine("lan") };
    Names {
        cloud: name("demo"),
        host: name("den"),
        networks: [name("lan"), name("dmz"), name("empty")].into(),
        machines: [(name("web"), web), (name("db"), db), (name("log"), machine("dmz"))].into(),
        allow: vec!["web.lan -> log.dmz:514".parse().unwrap()],
        far_allow: Vec::new(),
        peers: [(name("inn"), [name("lan"), name("dmz"), name("bar")].into())].into(),
    }
}

fn states(names: &Names) -> States {
    names.machines.values().map(|machine| (machine.state, Instant::now())).collect()
}

fn shown(answer: &Answer) -> String {
    let list = |records: &[Record]| {
        records
            .iter()
            .map(|r| format!("{} {}", r.record_type(), r.data))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match answer {
        Answer::Records(records, more) if more.is_empty() => list(records),
        Answer::Records(records, more) => format!("{} with {}", list(records), list(more)),
        Answer::NoData { soa, expected: false } => format!("no data in {}", soa.name),
        Answer::NoData { soa, expected: true } => format!("no data in {} yet", soa.name),
        Answer::NoName(soa) => format!("no name in {}", soa.name),
        Answer::Elsewhere => "elsewhere".into(),
        Answer::Far(peer) => format!("host {peer}"),
    }
}

fn ask_as(names: &Names, source: IpAddr, question: &str, kind: RecordType) -> String {
    let table = Table::new(names).unwrap();
    let view = table.views.of(source).unwrap();
    let at = Moment { states: &states(names), now: Instant::now() };
    shown(&table.answer(view, at, &DnsName::from_ascii(question).unwrap(), kind))
}

fn ask(names: &Names, question: &str, kind: RecordType) -> String {
    ask_as(names, IpAddr::from([127, 0, 0, 1]), question, kind)
}

#[test]
fn answers_by_name_and_type() {
    use RecordType::{A, AAAA, ANY, CNAME, MX, NS, PTR, SOA, SRV};
    let names = names(State::Ready);
    let questions = [
        ("web.lan.den.demo.internal.", AAAA),
        ("WEB.lan.Den.demo.internal.", A),
        ("web.lan.den.demo.internal.", ANY),
        ("web.lan.den.demo.internal.", MX),
        ("web.empty.den.demo.internal.", A),
        ("www.lan.den.demo.internal.", A),
        ("www.lan.den.demo.internal.", CNAME),
        ("www.lan.den.demo.internal.", MX),
        ("_http._tcp.web.lan.den.demo.internal.", SRV),
        ("_http._tcp.lan.den.demo.internal.", SRV),
        ("_http._tcp.dmz.den.demo.internal.", SRV),
        ("_tcp.lan.den.demo.internal.", SRV),
        ("lan.den.demo.internal.", A),
        ("empty.den.demo.internal.", A),
        ("den.demo.internal.", A),
        ("demo.internal.", SOA),
        ("demo.internal.", NS),
        ("demo.internal.", A),
        ("other.demo.internal.", A),
        ("x.web.lan.den.demo.internal.", A),
        ("internal.", A),
        ("other.internal.", A),
        ("xdemo.internal.", A),
        ("example.com.", A),
        (".", NS),
        ("64.100.in-addr.arpa.", PTR),
    ];
    let answers: Vec<String> =
        questions.iter().map(|(n, k)| format!("{n} {k}: {}", ask(&names, n, *k))).collect();
    insta::assert_debug_snapshot!(answers, @r#"
[
    "web.lan.den.demo.internal. AAAA: AAAA fd38:65a6:581d:88b9:1587:1d5f:f840:1df6",
    "WEB.lan.Den.demo.internal. A: A 100.123.81.254",
    "web.lan.den.demo.internal. ANY: AAAA fd38:65a6:581d:88b9:1587:1d5f:f840:1df6, A 100.123.81.254",
    "web.lan.den.demo.internal. MX: no data in demo.internal.",
    "web.empty.den.demo.internal. A: no name in demo.internal.",
    "www.lan.den.demo.internal. A: CNAME web.lan.den.demo.internal., A 100.123.81.254",
    "www.lan.den.demo.internal. CNAME: CNAME web.lan.den.demo.internal.",
    "www.lan.den.demo.internal. MX: CNAME web.lan.den.demo.internal.",
    "_http._tcp.web.lan.den.demo.internal. SRV: SRV 1 2 80 web.lan.den.demo.internal. with AAAA fd38:65a6:581d:88b9:1587:1d5f:f840:1df6, A 100.123.81.254",
    "_http._tcp.lan.den.demo.internal. SRV: SRV 1 2 80 db.lan.den.demo.internal., SRV 1 2 80 web.lan.den.demo.internal. with AAAA fd38:65a6:581d:88b9:68ff:dd31:e8f:d307, A 100.93.89.244, AAAA fd38:65a6:581d:88b9:1587:1d5f:f840:1df6, A 100.123.81.254",
    "_http._tcp.dmz.den.demo.internal. SRV: no name in demo.internal.",
    "_tcp.lan.den.demo.internal. SRV: no data in demo.internal.",
    "lan.den.demo.internal. A: no data in demo.internal.",
    "empty.den.demo.internal. A: no data in demo.internal.",
    "den.demo.internal. A: A 100.112.38.221, A 100.80.42.158, A 100.69.25.222",
    "demo.internal. SOA: SOA den.demo.internal. hostmaster.demo.internal. 1 5 5 5 1",
    "demo.internal. NS: NS den.demo.internal.",
    "demo.internal. A: no data in demo.internal.",
    "other.demo.internal. A: no name in demo.internal.",
    "x.web.lan.den.demo.internal. A: no name in demo.internal.",
    "internal. A: elsewhere",
    "other.internal. A: elsewhere",
    "xdemo.internal. A: elsewhere",
    "example.com. A: elsewhere",
    ". NS: elsewhere",
    "64.100.in-addr.arpa. PTR: elsewhere",
]
"#);
}

#[test]
fn addresses_point_back() {
    let names = names(State::Ready);
    let (lan, web) = (name("lan"), name("web"));
    let place = names.place(&lan);
    for address in [IpAddr::from(place.v6(&web)), place.v4(&web).into()] {
        let back = DnsName::from(address).to_ascii();
        assert_eq!(ask(&names, &back, RecordType::PTR), "PTR web.lan.den.demo.internal.");
    }
    let back = DnsName::from(IpAddr::from(place.v6(&web)));
    let above = back.base_name().to_ascii();
    assert!(ask(&names, &above, RecordType::PTR).starts_with("no data"));
    let other = DnsName::from(IpAddr::from(place.v6(&lan))).to_ascii();
    assert!(ask(&names, &other, RecordType::PTR).starts_with("no name"));
    let other = DnsName::from(IpAddr::from(place.v4(&lan))).to_ascii();
    assert_eq!(ask(&names, &other, RecordType::PTR), "elsewhere");
}

#[test]
fn only_a_machine_that_is_ready_has_an_address() {
    let web = "web.lan.den.demo.internal.";
    for (question, kind) in [
        (web, RecordType::AAAA),
        ("www.lan.den.demo.internal.", RecordType::A),
        ("_http._tcp.lan.den.demo.internal.", RecordType::SRV),
    ] {
        let no = "no data in demo.internal.";
        assert_eq!(ask(&names(State::Down), question, kind), no);
        assert_eq!(ask(&names(State::Starting), question, kind), format!("{no} yet"));
        // What it never has is not waited for.
        assert_eq!(ask(&names(State::Starting), web, RecordType::MX), no);
    }
    let back = names(State::Down);
    let lan = name("lan");
    let address = IpAddr::from(back.place(&lan).v6(&name("web")));
    let pointer = DnsName::from(address).to_ascii();
    assert!(ask(&back, &pointer, RecordType::PTR).starts_with("no data"));
}

#[test]
fn a_machine_knows_whom_it_may_reach() {
    let names = names(State::Ready);
    let (lan, dmz) = (name("lan"), name("dmz"));
    let (web, db, log) = (name("web"), name("db"), name("log"));
    let of = |network, machine| IpAddr::from(names.place(network).v6(machine));
    let knows = |asker: IpAddr, question: &str| {
        !ask_as(&names, asker, question, RecordType::AAAA).starts_with("no name")
    };
    let [web_, db_, log_] =
        ["web.lan", "db.lan", "log.dmz"].map(|n| format!("{n}.den.demo.internal."));
    for (asker, sees) in [
        (of(&lan, &web), [true, true, true]),
        (names.place(&lan).v4(&web).into(), [true, true, true]),
        (of(&lan, &db), [true, true, false]),
        (of(&dmz, &log), [false, false, true]),
        (names.place(&dmz).gateway().into(), [true, true, true]),
        (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), [true, true, true]),
    ] {
        assert_eq!([&web_, &db_, &log_].map(|question| knows(asker, question)), sees, "{asker}");
    }
    // Nor by the address, nor what gateway the others have.
    let back = DnsName::from(of(&dmz, &log)).to_ascii();
    assert!(ask_as(&names, of(&lan, &db), &back, RecordType::PTR).starts_with("no name"));
    let host = ask_as(&names, of(&lan, &db), "den.demo.internal.", RecordType::AAAA);
    assert_eq!(host, format!("AAAA {}", names.place(&lan).gateway()));
    // Who is none of them may not ask.
    let table = Table::new(&names).unwrap();
    for stranger in ["192.0.2.1", "100.64.0.1", "fe80::1", "2001:db8::1"] {
        assert!(table.views.of(stranger.parse().unwrap()).is_none(), "{stranger}");
    }
}

#[test]
fn other_hosts_are_asked_about_networks_of_the_same_names() {
    let names = names(State::Ready);
    let (lan, web, inn) = (name("lan"), name("web"), name("inn"));
    let place = |network| hc_spec::addr::Place { cloud: &names.cloud, host: &inn, network };
    let asker = IpAddr::from(names.place(&lan).v6(&web));
    let back = DnsName::from(IpAddr::from(place(&lan).v6(&web))).to_ascii();
    let loopback = IpAddr::from([127, 0, 0, 1]);
    for (question, of_machine, of_host) in [
        ("db.lan.inn.demo.internal.", "host 0", "host 0"),
        ("lan.inn.demo.internal.", "host 0", "host 0"),
        ("db.dmz.inn.demo.internal.", "no name in demo.internal.", "host 0"),
        ("db.bar.inn.demo.internal.", "no name in demo.internal.", "host 0"),
        ("inn.demo.internal.", "no name in demo.internal.", "host 0"),
        (&back, "host 0", "host 0"),
        ("db.lan.pub.demo.internal.", "no name in demo.internal.", "no name in demo.internal."),
    ] {
        assert_eq!(ask_as(&names, asker, question, RecordType::AAAA), of_machine, "{question}");
        assert_eq!(ask_as(&names, loopback, question, RecordType::AAAA), of_host, "{question}");
    }
    // The other host learns everything of this one, and of nobody else.
    let peer = IpAddr::from(place(&lan).gateway());
    assert!(
        ask_as(&names, peer, "log.dmz.den.demo.internal.", RecordType::AAAA).starts_with("AAAA")
    );
    let beyond = ask_as(&names, peer, "db.lan.inn.demo.internal.", RecordType::AAAA);
    assert_eq!(beyond, "no name in demo.internal.");
    let table = Table::new(&names).unwrap();
    assert!(!table.views.of(peer).unwrap().recurses());
    // A machine there is not its host.
    assert!(table.views.of(place(&lan).v6(&web).into()).is_none());
}

#[test]
fn answers_may_be_kept_longer_when_a_machine_has_been_ready_for_a_while() {
    use RecordType::{AAAA, PTR, SRV};
    let names = names(State::Ready);
    let (table, began) = (Table::new(&names).unwrap(), Instant::now());
    let web = table.number(&name("web")).unwrap();
    let back = names.place(&name("lan")).v6(&name("web"));
    let back = format!("{}.", DnsName::from(IpAddr::from(back)).to_ascii().trim_end_matches('.'));
    // Web has been ready since the 40th second, and all others since the beginning.
    let since = |seconds| began + Duration::from_secs(seconds);
    let mut states: States = names.machines.values().map(|_| (State::Ready, began)).collect();
    states[web].1 = since(40);
    let kept = |states: &States, seconds, question: &str, kind| {
        let at = Moment { states, now: since(seconds) };
        let question = DnsName::from_ascii(question).unwrap();
        match table.answer(View::All, at, &question, kind) {
            Answer::Records(all, more) => all.iter().chain(&more).map(|r| r.ttl).collect(),
            Answer::NoData { soa, .. } => vec![soa.ttl + 1000],
            other => panic!("{question}: {}", shown(&other)),
        }
    };
    for (seconds, ttl) in [(40, 1), (70, 1), (71, 5), (100_000, 5)] {
        for (question, kind, records) in [
            ("web.lan.den.demo.internal.", AAAA, 1),
            ("www.lan.den.demo.internal.", AAAA, 2),
            ("_http._tcp.web.lan.den.demo.internal.", SRV, 3),
            (&back, PTR, 1),
        ] {
            let found = kept(&states, seconds, question, kind);
            assert_eq!(found, vec![ttl; records], "{question} after {seconds} seconds");
        }
        assert_eq!(kept(&states, seconds, "db.lan.den.demo.internal.", AAAA), [5]);
    }
    // Nothing is said of it while it starts again, for a second; then all begins anew.
    states[web] = (State::Starting, since(80));
    assert_eq!(kept(&states, 80, "web.lan.den.demo.internal.", AAAA), [1001]);
    states[web] = (State::Ready, since(82));
    assert_eq!(kept(&states, 112, "web.lan.den.demo.internal.", AAAA), [1]);
    assert_eq!(kept(&states, 113, "web.lan.den.demo.internal.", AAAA), [5]);
}
