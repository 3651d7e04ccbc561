//! Closures of many paths, by several copiers at once, and interrupted ones.
#![allow(missing_docs, clippy::disallowed_methods)]

mod common;

use common::Home;
use nix_store::copy::{CopyObserver, Source, Trust, copy_closure};
use nix_store::{Error, PathInfo, Store, StorePath};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const ANYBODY: Trust = Trust { keys: Vec::new(), required: false };

/// Texts that refer to the one before (and some to the tenth before that); gives the last.
fn chain(home: &Home, length: usize) -> StorePath {
    let mut paths: Vec<StorePath> = Vec::new();
    for number in 0..length {
        let mut references = BTreeSet::new();
        references.extend(paths.last().filter(|_| number % 3 > 0).cloned());
        references.extend(number.checked_sub(10).and_then(|other| paths.get(other)).cloned());
        let text = format!("{number} {}", "x".repeat(number * 40));
        paths.push(home.store.add_text("text", text.as_bytes(), &references).unwrap());
    }
    let all = paths.iter().cloned().collect();
    home.store.add_text("all", b"all", &all).unwrap()
}

fn copy(from: &dyn Source, to: &Store, path: &StorePath, observer: &dyn CopyObserver) -> usize {
    let wanted = BTreeSet::from([path.clone()]);
    copy_closure(from, to, &wanted, &ANYBODY, observer).unwrap().len()
}

#[derive(Default)]
struct Count {
    planned: AtomicUsize,
    begun: AtomicUsize,
    sent: AtomicUsize,
    done: AtomicUsize,
    stop_after: Option<usize>,
    stop: AtomicBool,
}

impl CopyObserver for Count {
    fn planned(&self, paths: usize, bytes: u64) {
        assert!(bytes > 0);
        self.planned.store(paths, Ordering::SeqCst);
    }
    fn begun(&self, _: &PathInfo) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }
    fn sent(&self, bytes: u64) {
        self.sent.fetch_add(usize::try_from(bytes).unwrap(), Ordering::SeqCst);
    }
    fn done(&self, _: &PathInfo) {
        let done = self.done.fetch_add(1, Ordering::SeqCst) + 1;
        if self.stop_after.is_some_and(|limit| done >= limit) {
            self.stop.store(true, Ordering::SeqCst);
        }
    }
    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

#[test]
fn many_paths_come_at_once_and_are_counted() {
    let (from, to) = (Home::new(), Home::new());
    let all = chain(&from, 300);
    let count = Count::default();
    assert_eq!(copy(&from.store, &to.store, &all, &count), 301);
    let seen = [&count.planned, &count.begun, &count.done].map(|n| n.load(Ordering::SeqCst));
    assert_eq!(seen, [301, 301, 301]);
    assert!(count.sent.load(Ordering::SeqCst) > 300 * 150 * 40);
    to.verify();
    to.nothing_left();
}

#[test]
fn several_copiers_of_one_closure_share_the_work_and_end() {
    let (from, to) = (Home::new(), Home::new());
    let all = chain(&from, 300);
    let counts: Vec<Count> = (0..4).map(|_| Count::default()).collect();
    std::thread::scope(|scope| {
        for count in &counts {
            // Each as a process of its own would: with its own store.
            let store = Store::open(to.store.config().clone()).unwrap();
            let (from, all) = (&from.store, &all);
            scope.spawn(move || copy(from, &store, all, count));
        }
    });
    let begun: usize = counts.iter().map(|count| count.begun.load(Ordering::SeqCst)).sum();
    assert_eq!(begun, 301, "no path was sent twice");
    to.verify();
    to.nothing_left();
}

#[test]
fn what_came_before_the_end_stays() {
    let (from, to) = (Home::new(), Home::new());
    let all = chain(&from, 300);
    let wanted = BTreeSet::from([all.clone()]);
    let count = Count { stop_after: Some(100), ..Count::default() };
    let error = copy_closure(&from.store, &to.store, &wanted, &ANYBODY, &count).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    to.verify();
    to.nothing_left();
    let rest = copy(&from.store, &to.store, &all, &());
    assert!(rest <= 201, "{rest}");
    to.verify();
    to.nothing_left();
}
