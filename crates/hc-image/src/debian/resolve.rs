//! Which packages an image needs.

use super::{Candidate, Pool};
use crate::deb::relation::Relation;
use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The wanted packages, the essential ones, and all they depend on, by name.
///
/// As apt does: of alternatives the first that can be had, unless another is in already; of
/// virtual packages a provider that is in already, else the one nearest to Debian's base system.
/// There is one version of each package, so nothing has to be taken back.
pub(super) fn resolve<'a>(
    pool: &'a Pool,
    wanted: &[String],
    required: bool,
) -> Result<Vec<&'a Candidate>> {
    let mut search = Search { pool, providers: providers(pool), chosen: BTreeMap::new() };
    let mut problems = Vec::new();
    let mut queue = VecDeque::new();
    for found in pool.values().filter(|c| c.info.essential || required && c.priority == 0) {
        search.choose(found, &mut queue);
    }
    for name in wanted {
        let relation = Relation { name: name.clone(), version: None };
        match search.find(&relation) {
            Some(found) => search.choose(found, &mut queue),
            None => problems.push(format!("  there is no package `{name}`; check its name")),
        }
    }
    while let Some(found) = queue.pop_front() {
        for group in &found.info.depends {
            if group.iter().any(|relation| search.is_met(relation)) {
                continue;
            }
            match group.iter().find_map(|relation| search.find(relation)) {
                Some(next) => search.choose(next, &mut queue),
                None => {
                    let group: Vec<_> = group.iter().map(ToString::to_string).collect();
                    let group = group.join(" | ");
                    problems
                        .push(format!("  {} needs {group}: not in the archive", found.info.name));
                }
            }
        }
    }
    problems.extend(search.conflicts());
    if problems.is_empty() {
        Ok(search.chosen.into_values().collect())
    } else {
        Err(Error::Resolve(problems))
    }
}

struct Search<'a> {
    pool: &'a Pool,
    providers: BTreeMap<&'a str, Vec<&'a Candidate>>,
    chosen: BTreeMap<&'a str, &'a Candidate>,
}

impl<'a> Search<'a> {
    fn choose(&mut self, found: &'a Candidate, queue: &mut VecDeque<&'a Candidate>) {
        if self.chosen.insert(&found.info.name, found).is_none() {
            queue.push_back(found);
        }
    }

    fn is_met(&self, relation: &Relation) -> bool {
        self.chosen.get(relation.name.as_str()).is_some_and(|c| is_it(c, relation))
            || self.provide(relation).any(|c| self.chosen.contains_key(c.info.name.as_str()))
    }

    fn find(&self, relation: &Relation) -> Option<&'a Candidate> {
        let real = self.pool.get(&relation.name).filter(|c| is_it(c, relation));
        real.or_else(|| self.provide(relation).next())
    }

    fn provide<'s>(&'s self, relation: &'s Relation) -> impl Iterator<Item = &'a Candidate> + 's {
        let all = self.providers.get(relation.name.as_str()).map_or(&[][..], Vec::as_slice);
        all.iter().copied().filter(|c| stands_for(c, relation))
    }

    /// Pairs of chosen packages that exclude each other.
    fn conflicts(&self) -> Vec<String> {
        let mut found = BTreeSet::new();
        for one in self.chosen.values() {
            for relation in &one.breaks {
                let real = self.chosen.get(relation.name.as_str()).filter(|c| is_it(c, relation));
                let others = self
                    .provide(relation)
                    .filter(|c| self.chosen.contains_key(c.info.name.as_str()));
                for other in real.copied().into_iter().chain(others) {
                    if other.info.name != one.info.name {
                        found.insert(format!(
                            "  {} excludes {relation}, which is {} {}",
                            one.info.name, other.info.name, other.info.version
                        ));
                    }
                }
            }
        }
        found.into_iter().collect()
    }
}

fn providers(pool: &Pool) -> BTreeMap<&str, Vec<&Candidate>> {
    let mut all: BTreeMap<&str, Vec<&Candidate>> = BTreeMap::new();
    for found in pool.values() {
        for provided in &found.info.provides {
            all.entry(&provided.name).or_default().push(found);
        }
    }
    // Stable: by name where the priority is the same.
    all.values_mut().for_each(|them| them.sort_by_key(|found| found.priority));
    all
}

fn is_it(found: &Candidate, relation: &Relation) -> bool {
    found.info.name == relation.name && relation.accepts(&found.info.version)
}

/// A versioned relation is only met by a versioned `Provides: name (= version)`.
fn stands_for(found: &Candidate, relation: &Relation) -> bool {
    found.info.provides.iter().filter(|p| p.name == relation.name).any(|p| match &p.version {
        Some((_, version)) => relation.accepts(version),
        None => relation.version.is_none(),
    })
}
