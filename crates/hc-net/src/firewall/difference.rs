//! What is to be changed in sets, so that they hold what they should: only elements that differ.

use super::batch;
use super::element::{Element, Family, Value};
use super::rules::Sets;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// What sets hold.
type Held = BTreeMap<&'static str, BTreeSet<Value>>;

/// Elements to be taken out, and to be put in afterwards.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    gone: Vec<Element>,
    new: Vec<Element>,
}

/// Makes sets of the table that routes hold what they should, in one transaction.
pub(super) fn apply(wanted: &Sets) -> io::Result<()> {
    let mut held = Held::new();
    for set in wanted.keys().copied() {
        held.insert(set, batch::list(Family::Inet, set)?.into_iter().collect());
    }
    let Difference { gone, new } = between(&held, wanted);
    if gone.is_empty() && new.is_empty() {
        return Ok(());
    }
    batch::replace(&gone, &new).map(drop)
}

fn between(held: &Held, wanted: &Sets) -> Difference {
    let mut difference = Difference::default();
    for (set, fields) in wanted {
        let wanted: BTreeSet<&Value> = fields.iter().map(|fields| &fields.value).collect();
        let held: BTreeSet<&Value> = held.get(set).into_iter().flatten().collect();
        let element =
            |value: &&Value| Element { family: Family::Inet, set, value: (*value).clone() };
        difference.gone.extend(held.difference(&wanted).map(element));
        difference.new.extend(wanted.difference(&held).map(element));
    }
    difference
}

#[cfg(test)]
mod tests {
    use super::super::element::Fields;
    use super::*;
    use hc_spec::allow::Protocol;
    use proptest::prelude::*;

    const SETS: [&str; 3] = ["hc_mm4_port", "hc_mm4_range", "hc_publish_any4"];

    /// Some elements; of a map several may have the same key.
    fn sets(some: &[(usize, u8, u16)]) -> Sets {
        let mut all: Sets = SETS.map(|set| (set, BTreeSet::new())).into();
        for &(set, address, port) in some {
            let address = [100, 64, 0, address].into();
            let fields = match set {
                0 => Fields::default().address(address).port(Protocol::Tcp, port),
                1 => Fields::default().address(address).ports(Protocol::Udp, port, port + 9),
                _ => Fields::default().port(Protocol::Tcp, port).to(address, 80),
            };
            all.get_mut(SETS[set]).unwrap().insert(fields);
        }
        all
    }

    fn held(sets: &Sets) -> Held {
        let values = |fields: &BTreeSet<Fields>| fields.iter().map(|f| f.value.clone()).collect();
        sets.iter().map(|(set, fields)| (*set, values(fields))).collect()
    }

    fn some() -> impl Strategy<Value = Vec<(usize, u8, u16)>> {
        prop::collection::vec((0..SETS.len(), any::<u8>(), 1u16..50), 0..40)
    }

    proptest! {
        #[test]
        fn what_differs_makes_one_out_of_the_other(old in some(), new in some()) {
            let (old, new) = (sets(&old), sets(&new));
            let mut now = held(&old);
            let difference = between(&now, &new);
            for element in &difference.gone {
                let taken = now.get_mut(element.set).unwrap().remove(&element.value);
                prop_assert!(taken, "{element:?} was not there");
            }
            for element in &difference.new {
                let put = now.get_mut(element.set).unwrap().insert(element.value.clone());
                prop_assert!(put, "{element:?} was there");
            }
            prop_assert_eq!(&now, &held(&new));
            prop_assert_eq!(between(&now, &new), Difference::default());
        }
    }
}
