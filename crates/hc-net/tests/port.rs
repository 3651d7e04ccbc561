//! Who has a port. Alone in its process: the tests beside it fork, and a child that has not executed
//! its program yet holds the sockets of all of them.
#![allow(clippy::disallowed_methods)]

mod common;

use common::{block_on, host, name, on_a_host};
use hc_net::dns::{MachineNames, Names, Server, State};
use hc_spec::HostSpec;
use std::net::SocketAddr;

fn names(host: &HostSpec, ready: bool) -> Names {
    let networks = host.networks.keys().cloned().collect();
    let state = if ready { State::Ready } else { State::Down };
    let networks_of = [name("lan")].into();
    let machine = MachineNames { networks: networks_of, state, ..MachineNames::default() };
    Names {
        cloud: host.cloud.clone(),
        host: host.host.clone(),
        networks,
        machines: [(name("web"), machine)].into(),
        allow: Vec::new(),
        far_allow: Vec::new(),
        peers: Default::default(),
    }
}

#[test]
fn a_taken_port_says_by_whom() {
    on_a_host(|| {
        let taken: SocketAddr = "127.0.0.1:53".parse().unwrap();
        let free: SocketAddr = "[::1]:53".parse().unwrap();
        let host = host(&["lan"]);
        let listen = |expect: &str| {
            block_on(async {
                let mut server = Server::new(&names(&host, true), &[]).unwrap();
                let error = server.listen(&[taken, free].into()).await.unwrap_err().to_string();
                assert!(error.starts_with(expect), "{error}");
                assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
                assert_eq!(server.addresses(), [free].into());
                server.stop().await;
            });
        };
        let udp = std::net::UdpSocket::bind(taken).unwrap();
        listen("port 53 on 127.0.0.1 (udp) is taken by");
        drop(udp);
        let tcp = std::net::TcpListener::bind(("0.0.0.0", 53)).unwrap();
        listen("port 53 on 127.0.0.1 (tcp) is taken by");
        drop(tcp);
        block_on(async {
            let mut server = Server::new(&names(&host, true), &[]).unwrap();
            server.listen(&[taken, free].into()).await.unwrap();
            server.listen(&[free].into()).await.unwrap();
            // Free again at once, and the other one was never closed.
            drop(std::net::UdpSocket::bind(taken).unwrap());
            drop(std::net::TcpListener::bind(taken).unwrap());
            assert_eq!(server.addresses(), [free].into());
            let missing = "[fd00::7]:53".parse().unwrap();
            let error = server.listen(&[missing].into()).await.unwrap_err().to_string();
            assert!(error.contains("cannot listen on [fd00::7]:53"), "{error}");
        });
    });
}
