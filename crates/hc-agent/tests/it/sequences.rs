//! Any sequence of sets: what runs is what is current, whatever happened before.

use crate::host::Host;
use hc_agent::wire::Outcome;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Act {
    Deploy(Vec<(u8, u8)>),
    Broken(Vec<(u8, u8)>),
    Rollback,
    Kill,
}

fn act() -> impl Strategy<Value = Act> {
    let set = || prop::collection::btree_map(0u8..5, 0u8..3, 0..5);
    prop_oneof![
        4 => set().prop_map(|s| Act::Deploy(s.into_iter().collect())),
        1 => set().prop_map(|s| Act::Broken(s.into_iter().collect())),
        1 => Just(Act::Rollback),
        1 => Just(Act::Kill),
    ]
}

fn set(host: &Host, machines: &[(u8, u8)], broken: bool) -> std::path::PathBuf {
    let mut all: Vec<(String, String)> =
        machines.iter().map(|(n, v)| (format!("m{n}"), format!("ready {v}"))).collect();
    if broken {
        all.push(("broken".into(), "broken".into()));
    }
    let all: Vec<(&str, &str)> = all.iter().map(|(n, c)| (n.as_str(), c.as_str())).collect();
    host.set(&all)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None,
        max_shrink_iters: 20, ..ProptestConfig::default() })]
    #[test]
    fn what_runs_is_what_is_current(acts in prop::collection::vec(act(), 1..8)) {
        let mut host = Host::started();
        let (mut current, mut previous) = (None, None);
        for act in acts {
            let before = host.running();
            match act {
                Act::Deploy(machines) => {
                    let new = set(&host, &machines, false);
                    let done = host.activate(&new);
                    prop_assert_eq!(done.outcome == Outcome::Unchanged, current.as_ref() == Some(&new));
                    if current.as_ref() != Some(&new) {
                        previous = current.replace(new);
                    }
                }
                Act::Broken(machines) => {
                    let done = host.activate(&set(&host, &machines, true));
                    prop_assert_eq!(done.outcome, Outcome::RolledBack);
                }
                Act::Rollback if previous.is_some() => {
                    host.rollback(None);
                    std::mem::swap(&mut current, &mut previous);
                }
                Act::Rollback => {}
                Act::Kill => {
                    host.end(rustix::process::Signal::KILL);
                    host.start("");
                    prop_assert_eq!(&host.running(), &before);
                }
            }
            host.assert_in_effect(current.as_deref());
        }
    }
}
