//! What others take away is noticed, and what hc does itself is not taken for that.
#![allow(clippy::disallowed_methods)]

mod common;

use common::{LONG, SHORT, block_on, host, machine, on_a_host, run};
use hc_net::links::{ensure_networks, remove_networks};
use hc_net::monitor::{Loss, Monitor};
use tokio::time::timeout;

#[test]
fn only_what_others_take_away_is_a_loss() {
    on_a_host(|| {
        block_on(async {
            let host = host(&["lan"]);
            ensure_networks(&host).await.unwrap();
            let mut monitor = Monitor::here().unwrap();
            ensure_networks(&host).await.unwrap();
            let mut changed = host.clone();
            changed.allow = vec!["a.lan -> b.dmz:80".parse().unwrap()];
            ensure_networks(&changed).await.unwrap();
            let web = std::thread::scope(|s| s.spawn(|| machine(&host, "lan", "web")).join());
            let heard = timeout(SHORT, monitor.loss()).await;
            assert!(heard.is_err(), "all that was hc itself, and {heard:?}");
            for by_hand in [&["flush", "ruleset"][..], &["flush", "table", "inet", "hc"]] {
                run("nft", by_hand);
                assert_eq!(timeout(LONG, monitor.loss()).await.unwrap().unwrap(), Loss::Rules);
                ensure_networks(&host).await.unwrap();
            }
            run("nft", &["add", "table", "inet", "other"]);
            run("nft", &["delete", "table", "inet", "other"]);
            assert!(timeout(SHORT, monitor.loss()).await.is_err(), "that was none of hc's");
            drop(web);
            let bridge = run("ip", &["-o", "link", "show", "type", "bridge"]);
            let bridge = bridge.split(": ").nth(1).unwrap().to_owned();
            run("ip", &["link", "del", &bridge]);
            loop {
                // The machine's link, which went with its namespace, may be told of before.
                match timeout(LONG, monitor.loss()).await.unwrap().unwrap() {
                    Loss::Link(link) if link == bridge => break,
                    Loss::Link(_) | Loss::Wire(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            remove_networks(&host.cloud, &host.host, &[]).await.unwrap();
        });
    });
}
