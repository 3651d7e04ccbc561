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
fn what_other_versions_left_is_taken_out() {
    on_a_host(|| {
        let host = allowing(DESCRIPTIONS[0]);
        ensure_networks(&host).unwrap();
        let whole = held();
        let old = "
            table inet hc {
                set hc_allow_m6 { type ipv6_addr . ipv6_addr; elements = { fd00::1 . fd00::2 }; }
                map hc_to4 { type inet_service : ipv4_addr; elements = { 80 : 192.0.2.1 }; }
                chain hc_allow { ip6 saddr . ip6 daddr @hc_allow_m6 accept; }
                chain hc_old { type filter hook forward priority 7; jump hc_allow; }
            }
            table bridge hc { set hc_arp_old { type ipv4_addr; }; chain hc_unused { accept; }; }
            table inet other { set hc_theirs { type ipv4_addr; }; chain theirs { accept; }; }";
        run("nft", &[old]);
        // An element that is live is no leftover.
        let _web = machine(&host, "lan", "web");
        ensure_networks(&host).unwrap();
        let all = run("nft", &["list", "ruleset"]);
        for gone in ["hc_allow_m6", "hc_to4", "hc_allow {", "hc_old", "hc_arp_old", "hc_unused"] {
            assert!(!all.contains(gone), "{gone}: {all}");
        }
        assert!(all.contains("hc_theirs") && all.contains("chain theirs"), "{all}");
        assert_ne!(held(), whole, "the machine is still let through");
        let written = handles();
        ensure_networks(&host).unwrap();
        assert_eq!(handles(), written, "that was all");
        // Even where no rule differs.
        run("nft", &["add set inet hc hc_allow_m4 { type ipv4_addr; }"]);
        ensure_networks(&host).unwrap();
        assert!(!run("nft", &["list", "sets"]).contains("hc_allow_m4"));
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
