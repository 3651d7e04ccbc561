//! Questions in datagrams: most are answered at once, by whoever receives them.
//!
//! A task for each of them would cost more than the answer does, so only those have one that wait for a
//! machine or for another name server.

use super::handler::Shared;
use super::message::{encode, malformed};
use super::repeated::Repeated;
use super::table::Answer;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::MessageType;
use hickory_server::server::Request;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// Bytes of the longest question that is read to its end: nothing longer is a question.
const LONGEST: usize = 4096;
/// Questions that are answered before anybody else gets a turn.
const TOGETHER: usize = 64;

/// An answer, and whom to send it to.
type Answered = (Vec<u8>, SocketAddr);

/// Answers what comes to a socket, until it is dropped; then nothing of it is left.
pub(super) async fn serve(socket: UdpSocket, shared: Arc<Shared>) {
    let mut waiting: JoinSet<Option<Answered>> = JoinSet::new();
    let mut repeated = Repeated::default();
    let (mut buffer, mut answer) = ([0; LONGEST], Vec::new());
    loop {
        tokio::select! {
            ready = socket.readable() => {
                if let Err(error) = ready {
                    tracing::error!(%error, "names are not answered for any more");
                    return;
                }
                let now = Instant::now();
                for _ in 0..TOGETHER {
                    let (question, from) = match socket.try_recv_from(&mut buffer) {
                        Ok((length, from)) => (&buffer[..length], from),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => {
                            // What the network said about an earlier answer.
                            tracing::debug!(%error, "an answer did not arrive");
                            continue;
                        }
                    };
                    // Before the answer is made: one from newer names is then not given again.
                    let version = shared.version();
                    if !repeated.find(version, from.ip(), question, now, &mut answer) {
                        match take(&shared, question, from) {
                            Taken::Answered(made) => {
                                repeated.keep(&made, now);
                                answer = made;
                            }
                            Taken::Malformed(made) => answer = made,
                            Taken::Ignored => continue,
                            Taken::Open(request, open) => {
                                let shared = Arc::clone(&shared);
                                waiting.spawn(async move {
                                    let reply = shared.settle(open, &request).await;
                                    encode(&request, &reply).map(|answer| (answer, from))
                                });
                                continue;
                            }
                        }
                    }
                    send(&socket, &answer, from).await;
                }
            }
            Some(done) = waiting.join_next() => {
                if let Ok(Some((answer, to))) = done {
                    send(&socket, &answer, to).await;
                }
            }
        }
    }
}

/// What becomes of a datagram.
enum Taken {
    Answered(Vec<u8>),
    /// Answered, and no question.
    Malformed(Vec<u8>),
    /// There is nothing to be said.
    Ignored,
    /// The answer is not known yet.
    Open(Box<Request>, Answer),
}

fn take(shared: &Shared, datagram: &[u8], from: SocketAddr) -> Taken {
    // From nobody, or for nobody.
    if from.port() == 0 || from.ip().is_unspecified() {
        return Taken::Ignored;
    }
    let Ok(request) = Request::from_bytes(datagram.to_vec(), from, Protocol::Udp) else {
        return malformed(datagram).map_or(Taken::Ignored, Taken::Malformed);
    };
    // Two servers that answer each other's answers would never end.
    if request.metadata.message_type == MessageType::Response {
        return Taken::Ignored;
    }
    match shared.at_once(&request) {
        Ok(reply) => encode(&request, &reply).map_or(Taken::Ignored, Taken::Answered),
        Err(open) => Taken::Open(Box::new(request), open),
    }
}

async fn send(socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    if let Err(error) = socket.send_to(answer, to).await {
        tracing::debug!(%error, %to, "an answer is not sent");
    }
}
