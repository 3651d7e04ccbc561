//! Any datagram to the name server: it still answers afterwards.
//!
//! Through a real socket on loopback; run it in a network namespace of its own.
#![no_main]

use hc_net::dns::{MachineNames, Names, Server, State};
use hc_spec::Name;
use hickory_proto::op::Message;
use libfuzzer_sys::fuzz_target;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::runtime::Runtime;

struct Asker {
    runtime: Runtime,
    socket: UdpSocket,
    _server: Server,
}

const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// A question of one id that no other datagram of a run has: `web.web.web.web.internal A`.
const KNOWN: &[u8] =
    b"\xbe\xef\x01\0\0\x01\0\0\0\0\0\0\x03web\x03web\x03web\x03web\x08internal\0\0\x01\0\x01";

fn start() -> Asker {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (socket, server) = runtime.block_on(async {
        let free = UdpSocket::bind(LOOPBACK).await.expect("a port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let web = Name::new("web").expect("a name");
        let networks = BTreeSet::from([web.clone()]);
        let machine = MachineNames { networks: networks.clone(), state: State::Ready, ..MachineNames::default() };
        let machines = BTreeMap::from([(web.clone(), machine)]);
        let allow = Vec::new();
        let names = Names { cloud: web.clone(), host: web, networks, machines, allow, peers: Default::default(), far_allow: Vec::new() };
        let mut server = Server::new(&names, &[]).expect("a server");
        server.listen(&BTreeSet::from([address])).await.expect("it listens");
        let socket = UdpSocket::bind(LOOPBACK).await.expect("a port");
        socket.connect(address).await.expect("it is there");
        (socket, server)
    });
    Asker { runtime, socket, _server: server }
}

fuzz_target!(|datagram: &[u8]| {
    static ASKER: OnceLock<Asker> = OnceLock::new();
    let asker = ASKER.get_or_init(start);
    if datagram.starts_with(&KNOWN[..2]) {
        return;
    }
    asker.runtime.block_on(async {
        let mut answer = [0; 4096];
        asker.socket.send(datagram).await.expect("it is sent");
        asker.socket.send(KNOWN).await.expect("it is sent");
        loop {
            let wait = tokio::time::timeout(Duration::from_secs(5), asker.socket.recv(&mut answer));
            let length = wait.await.expect("the server answers").expect("it is received");
            let message = Message::from_vec(&answer[..length]).expect("an answer is a message");
            if answer.starts_with(&KNOWN[..2]) {
                assert_eq!(message.answers.len(), 1, "{message:?}");
                break;
            }
        }
    });
});
