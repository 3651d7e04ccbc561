//! Questions in datagrams: most are answered at once, by whoever receives them.
//!
//! A task for each of them would cost more than the answer does, so only those have one that wait for a
//! machine or for another name server.

use super::handler::Shared;
use super::message::{encode, malformed};
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::MessageType;
use hickory_server::server::Request;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
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
    let mut buffer = [0; LONGEST];
    loop {
        tokio::select! {
            ready = socket.readable() => {
                if let Err(error) = ready {
                    tracing::error!(%error, "names are not answered for any more");
                    return;
                }
                for _ in 0..TOGETHER {
                    match socket.try_recv_from(&mut buffer) {
                        Ok((length, from)) => {
                            let answer = take(&shared, &buffer[..length], from, &mut waiting);
                            if let Some(answer) = answer {
                                send(&socket, &answer, from).await;
                            }
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        // What the network said about an earlier answer.
                        Err(error) => tracing::debug!(%error, "an answer did not arrive"),
                    }
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

/// The answer to a datagram; none where there is nothing to be said, or not yet.
fn take(
    shared: &Arc<Shared>,
    datagram: &[u8],
    from: SocketAddr,
    waiting: &mut JoinSet<Option<Answered>>,
) -> Option<Vec<u8>> {
    // To nobody, or to everybody.
    if from.port() == 0 || from.ip().is_unspecified() {
        return None;
    }
    let Ok(request) = Request::from_bytes(datagram.to_vec(), from, Protocol::Udp) else {
        return malformed(datagram);
    };
    // Two servers that answer each other's answers would never end.
    if request.metadata.message_type == MessageType::Response {
        return None;
    }
    match shared.at_once(&request) {
        Ok(reply) => encode(&request, &reply),
        Err(open) => {
            let shared = Arc::clone(shared);
            waiting.spawn(async move {
                let reply = shared.settle(open, &request).await;
                encode(&request, &reply).map(|answer| (answer, from))
            });
            None
        }
    }
}

async fn send(socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    if let Err(error) = socket.send_to(answer, to).await {
        tracing::debug!(%error, %to, "an answer is not sent");
    }
}
