//! The rules as a whole: written once, changed where they differ, put back where somebody took some.
#![allow(clippy::disallowed_methods)]

mod common;

use common::{LONG, Netns, arrives, host, machine, name, on_a_host, place, run};
use hc_net::blocking::ensure_networks;
use hc_spec::HostSpec;

/// Two networks with these allowances.
fn allowing(rules: &[&str]) -> HostSpec {
    let mut host = host(&["lan", "dmz"]);
    host.allow = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    host
}

/// Everything the table that routes holds, in an order that does not depend on how it came there.
fn held() -> Vec<String> {
    let text = run("nft", &["list", "table", "inet", "hc"]);
    // Anonymous sets and the stamp are of a particular time of writing.
    let text = text.split_once("set hc_stamp").map_or((&*text, ""), |(before, after)| {
        (before, after.split_once("chain").unwrap_or_default().1)
    });
    let all = [text.0, text.1].concat();
    let mut parts: Vec<String> =
        all.split([',', '\n', '{', '}']).map(|part| part.trim().to_owned()).collect();
    parts.sort();
    parts
}

/// The rules with the numbers the kernel gave them.
fn handles() -> Vec<String> {
    let text = run("nft", &["-a", "list", "table", "inet", "hc"]);
    let rules = text.lines().filter(|line| line.starts_with("\t\t") && line.contains("# handle"));
    rules.map(str::to_owned).collect()
}

const DESCRIPTIONS: [&[&str]; 5] = [
    &["web.lan -> db.dmz:5432", "*.lan -> dns.dmz:53/udp,53", "outside -> web.lan:443"],
    &["web.lan -> db.dmz:5432-5440", "*.lan -> dns.dmz:53/udp", "web.lan -> host:9100"],
    &["web.lan -> db.dmz", "outside -> *.dmz:80,8000-8080", "*.dmz -> host", "*.lan -> *.dmz:1"],
    &[],
    &["web.lan -> db.dmz:5432-5435", "web.lan -> db.dmz:5437,6000-6009/udp"],
];

#[test]
fn changing_what_differs_ends_where_writing_all_does() {
    let whole = DESCRIPTIONS.map(|rules| {
        on_a_host(|| {
            ensure_networks(&allowing(rules)).unwrap();
            held()
        })
    });
    on_a_host(|| {
        ensure_networks(&allowing(&[])).unwrap();
        let written = handles();
        for (rules, whole) in DESCRIPTIONS.iter().zip(&whole) {
            ensure_networks(&allowing(rules)).unwrap();
            assert_eq!(&held(), whole, "{rules:?}");
            assert_eq!(handles(), written, "the rules stay");
        }
    });
}

#[test]
fn rules_that_others_change_are_written_anew() {
    on_a_host(|| {
        let host = allowing(DESCRIPTIONS[0]);
        ensure_networks(&host).unwrap();
        let whole = held();
        for other in [
            "flush chain inet hc hc_forward",
            "insert rule inet hc hc_forward accept",
            "flush chain bridge hc hc_ports",
            "delete table inet hc",
            "flush ruleset",
        ] {
            let words: Vec<&str> = other.split(' ').collect();
            run("nft", &words);
            ensure_networks(&host).unwrap();
            assert_eq!(held(), whole, "{other}");
            assert!(run("nft", &["list", "chain", "bridge", "hc", "hc_ports"]).contains("hc_mac"));
        }
    });
}

#[test]
fn the_first_packet_to_a_machine_arrives() {
    on_a_host(|| {
        let host = host(&["lan"]);
        ensure_networks(&host).unwrap();
        let (first, lan) = (machine(&host, "lan", "first"), name("lan"));
        for i in 0..30 {
            let next = machine(&host, "lan", &format!("m{i}"));
            // Nobody repeats a datagram.
            let gateway = place(&host, &lan).gateway().into();
            assert!(arrives(&Netns::current(), gateway, &next.netns, next.v6, LONG), "{i}");
            let next = machine(&host, "lan", &format!("n{i}"));
            assert!(arrives(&first.netns, first.v6, &next.netns, next.v6, LONG), "{i}, neighbour");
        }
    });
}
