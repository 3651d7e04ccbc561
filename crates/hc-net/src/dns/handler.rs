//! From a question to an answer.

use super::forward::Forwarder;
use super::message::Reply;
use super::table::{Answer, Moment, States, Table};
use super::view::View;
use super::{Names, State};
use crate::error::Result;
use hc_spec::Name;
use hc_spec::addr::Place;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{HeaderCounts, MessageType, Metadata, OpCode, ResponseCode};
use hickory_server::proto::rr::{DNSClass, Name as DnsName, RecordType};
use hickory_server::server::{Request, RequestHandler, RequestInfo, ResponseHandler, ResponseInfo};
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// How long a question about a machine that is starting waits: whoever asks gives up after five
/// seconds (resolv.conf(5)), and nothing is answered before that.
const HOLD: Duration = Duration::from_secs(3);
/// Questions that wait at once; others are answered with what there is.
const MOST_HELD: usize = 1024;
/// Questions to other resolvers at once; others are told to come again.
const MOST_FORWARDED: usize = 512;

/// What all listeners of a name server share. Parts of it are replaced whole at run time.
pub(super) struct Shared {
    current: watch::Sender<Arc<Current>>,
    /// How often that was replaced.
    version: AtomicU64,
    forwarder: RwLock<Arc<Forwarder>>,
    held: Semaphore,
    forwarded: Semaphore,
}

/// What is answered from.
struct Current {
    names: Arc<Names>,
    table: Arc<Table>,
    states: States,
    /// The other hosts, in order of their names.
    peers: Arc<Vec<Forwarder>>,
    /// Whether these are all names: until then nobody is told that there is no such one.
    settled: bool,
}

/// A [`Shared`] as the server library wants it, for connections.
#[derive(Clone)]
pub(super) struct Handler(pub(super) Arc<Shared>);

impl Current {
    fn new(names: &Names, settled: bool) -> Result<Self> {
        let table = Arc::new(Table::new(names)?);
        let since = Instant::now();
        let states = names.machines.values().map(|machine| (machine.state, since)).collect();
        let peers = Arc::new(peers(names)?);
        Ok(Self { names: Arc::new(names.clone()), table, states, peers, settled })
    }

    /// The same table where only machines changed what they are doing.
    fn next(&self, names: &Names) -> Result<Self> {
        let same = self.names.same_shape(names);
        let (kept, table) = match same {
            true => (Arc::clone(&self.names), Arc::clone(&self.table)),
            false => (Arc::new(names.clone()), Arc::new(Table::new(names)?)),
        };
        // What was asked of them before is still known.
        let peers = match self.names.peers == names.peers && self.names.cloud == names.cloud {
            true => Arc::clone(&self.peers),
            false => Arc::new(peers(names)?),
        };
        let now = Instant::now();
        let before: HashMap<&Name, _> = self.names.machines.keys().zip(&self.states).collect();
        let state = |(machine, about): (&Name, &super::MachineNames)| {
            let before = before.get(machine).copied().copied();
            before.filter(|(state, _)| *state == about.state).unwrap_or((about.state, now))
        };
        let states = names.machines.iter().map(state).collect();
        Ok(Self { names: kept, table, states, peers, settled: true })
    }

    /// The same where these machines are doing something else; none where one of them has no names.
    fn doing(&self, changes: &[(&Name, State)]) -> Option<Self> {
        let mut states = self.states.clone();
        let now = Instant::now();
        for (machine, state) in changes {
            let place = states.get_mut(self.table.number(machine)?)?;
            if place.0 != *state {
                *place = (*state, now);
            }
        }
        let (names, table) = (Arc::clone(&self.names), Arc::clone(&self.table));
        let peers = Arc::clone(&self.peers);
        Some(Self { names, table, states, peers, settled: self.settled })
    }

    /// The answer to whoever asks from `source`; none when it may not ask.
    fn answer(&self, source: IpAddr, name: &DnsName, kind: RecordType) -> Option<Answer> {
        let answer = self.table.views.of(source).map(|view| {
            let at = Moment { states: &self.states, now: Instant::now() };
            self.table.answer(view, at, name, kind)
        });
        match answer {
            None | Some(Answer::NoName(_)) if !self.settled => Some(self.table.expected()),
            answer => answer,
        }
    }
}

fn peers(names: &Names) -> Result<Vec<Forwarder>> {
    let peer = |(host, networks): (&Name, &BTreeSet<Name>)| {
        let gateway = |network| Place { cloud: &names.cloud, host, network }.gateway();
        let addresses: Vec<_> = networks.iter().map(|n| (gateway(n), 53).into()).collect();
        Forwarder::to_host(&addresses)
    };
    names.peers.iter().map(peer).collect()
}

impl Shared {
    /// `settled` says whether these are all names.
    pub(super) fn new(names: &Names, upstreams: &[SocketAddr], settled: bool) -> Result<Self> {
        Ok(Self {
            current: watch::channel(Arc::new(Current::new(names, settled)?)).0,
            version: AtomicU64::new(0),
            forwarder: RwLock::new(Arc::new(Forwarder::new(upstreams)?)),
            held: Semaphore::new(MOST_HELD),
            forwarded: Semaphore::new(MOST_FORWARDED),
        })
    }

    pub(super) fn set_names(&self, names: &Names) -> Result<()> {
        let next = self.current.borrow().next(names)?;
        self.replace(next);
        Ok(())
    }

    fn replace(&self, next: Current) {
        self.current.send_replace(Arc::new(next));
        // Afterwards: no answer from the old ones is taken for one from these.
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Differs when what is answered from was replaced meanwhile.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn set_states(&self, changes: &[(&Name, State)]) -> bool {
        let next = self.current.borrow().doing(changes);
        let known = next.is_some();
        if let Some(next) = next.filter(|_| !changes.is_empty()) {
            self.replace(next);
        }
        known
    }

    pub(super) fn set_upstreams(&self, upstreams: &[SocketAddr]) -> Result<()> {
        let new = Arc::new(Forwarder::new(upstreams)?);
        *self.forwarder.write().unwrap_or_else(|e| e.into_inner()) = new;
        Ok(())
    }

    /// The reply to a question, where it follows from the table alone; what is open about it otherwise.
    pub(super) fn at_once(&self, request: &Request) -> std::result::Result<Reply, Answer> {
        match &request.edns {
            Some(asked) if asked.version() > 0 => return Ok(ResponseCode::BADVERS.into()),
            _ => {}
        }
        let Ok(info) = request.request_info() else { return Ok(ResponseCode::FormErr.into()) };
        if info.metadata.op_code != OpCode::Query {
            return Ok(ResponseCode::NotImp.into());
        }
        let kind = info.query.query_type();
        let transfer = matches!(kind, RecordType::AXFR | RecordType::IXFR);
        if info.query.query_class() != DNSClass::IN || transfer {
            return Ok(ResponseCode::Refused.into());
        }
        // Names tell what runs here, and forwarding works for whoever may ask: neither is for
        // the world, whatever the packet filter says.
        let current = Arc::clone(&self.current.borrow());
        match current.answer(source(&info), info.query.original().name(), kind) {
            None => Ok(ResponseCode::Refused.into()),
            Some(
                open @ (Answer::Far(_) | Answer::Elsewhere | Answer::NoData { expected: true, .. }),
            ) => Err(open),
            Some(answer) => Ok(Reply::of(answer)),
        }
    }

    /// The reply where others have to be asked, or a machine to be waited for.
    pub(super) async fn settle(&self, open: Answer, request: &Request) -> Reply {
        let Ok(info) = request.request_info() else { return ResponseCode::FormErr.into() };
        let (name, kind) = (info.query.original().name(), info.query.query_type());
        let source = source(&info);
        let answer = match open {
            Answer::NoData { expected: true, .. } => match self.awaited(source, name, kind).await {
                Some(answer) => answer,
                None => return ResponseCode::Refused.into(),
            },
            open => open,
        };
        match answer {
            Answer::Far(peer) => {
                let peers = Arc::clone(&self.current.borrow().peers);
                match peers.get(peer) {
                    Some(peer) => self.forward(peer, name, kind).await,
                    None => ResponseCode::ServFail.into(),
                }
            }
            Answer::Elsewhere if info.metadata.recursion_desired && self.recurses(source) => {
                let forwarder = self.forwarder.read().unwrap_or_else(|e| e.into_inner()).clone();
                self.forward(&forwarder, name, kind).await
            }
            answer => Reply::of(answer),
        }
    }

    /// The answer from the table. While it is that a machine is starting, it is waited for a better
    /// one; what is answered then is as new as can be.
    async fn awaited(&self, source: IpAddr, name: &DnsName, kind: RecordType) -> Option<Answer> {
        let mut current = self.current.subscribe();
        let look = |current: &mut watch::Receiver<Arc<Current>>| {
            let now = Arc::clone(&current.borrow_and_update());
            now.answer(source, name, kind)
        };
        let mut answer = look(&mut current)?;
        let Ok(_held) = self.held.try_acquire() else { return Some(answer) };
        let limit = tokio::time::Instant::now() + HOLD;
        while let Answer::NoData { expected: true, .. } = answer {
            match tokio::time::timeout_at(limit, current.changed()).await {
                Ok(Ok(())) => answer = look(&mut current)?,
                Ok(Err(_)) | Err(_) => break,
            }
        }
        Some(answer)
    }

    fn recurses(&self, source: IpAddr) -> bool {
        let current = Arc::clone(&self.current.borrow());
        current.table.views.of(source).is_some_and(View::recurses)
    }

    async fn forward(&self, forwarder: &Forwarder, name: &DnsName, kind: RecordType) -> Reply {
        let Ok(_one) = self.forwarded.try_acquire() else { return ResponseCode::ServFail.into() };
        let mut name = name.clone();
        name.set_fqdn(true);
        let forwarded = forwarder.ask(name, kind).await;
        Reply {
            code: forwarded.code,
            authoritative: false,
            answers: forwarded.answers,
            authority: forwarded.authority,
            additional: Vec::new(),
        }
    }
}

/// Where a question came from.
fn source(info: &RequestInfo<'_>) -> IpAddr {
    info.src.ip().to_canonical()
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut responses: R,
    ) -> ResponseInfo {
        let reply = match self.0.at_once(request) {
            Ok(reply) => reply,
            Err(open) => self.0.settle(open, request).await,
        };
        let head = reply.head(request);
        let message = head.message(request, &reply);
        match responses.send_response(message).await {
            Ok(info) => info,
            Err(error) => {
                // Whoever asked has gone.
                tracing::debug!(%error, "no answer could be sent");
                let mut metadata =
                    Metadata::new(request.metadata.id, MessageType::Response, OpCode::Query);
                metadata.response_code = ResponseCode::ServFail;
                hickory_server::proto::op::Header { metadata, counts: HeaderCounts::default() }
                    .into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::MachineNames;
    use super::*;

    #[test]
    fn what_a_machine_does_changes_without_its_names() {
        let name = |text: &str| Name::new(text).unwrap();
        let web = MachineNames { networks: [name("lan")].into(), ..MachineNames::default() };
        let names = Names {
            cloud: name("demo"),
            host: name("den"),
            networks: [name("lan")].into(),
            machines: [(name("web"), web.clone()), (name("db"), web)].into(),
            allow: Vec::new(),
            far_allow: Vec::new(),
            peers: Default::default(),
        };
        let current = Current::new(&names, true).unwrap();
        let asked = DnsName::from_ascii("web.lan.den.demo.internal.").unwrap();
        let answered = |current: &Current| {
            current.answer([127, 0, 0, 1].into(), &asked, RecordType::AAAA).unwrap()
        };
        assert!(matches!(answered(&current), Answer::NoData { expected: false, .. }));
        let current = current.doing(&[(&name("web"), State::Starting)]).unwrap();
        assert!(matches!(answered(&current), Answer::NoData { expected: true, .. }));
        let ready = current.doing(&[(&name("web"), State::Ready)]).unwrap();
        assert!(matches!(answered(&ready), Answer::Records(records, _) if records.len() == 1));
        let again = ready.doing(&[(&name("web"), State::Ready), (&name("db"), State::Ready)]);
        let number = ready.table.number(&name("web")).unwrap();
        assert_eq!(again.unwrap().states[number], ready.states[number], "since when stays");
        assert!(current.doing(&[(&name("mail"), State::Ready)]).is_none());
    }

    #[test]
    fn before_all_names_are_known_nobody_is_told_that_there_is_no_such_one() {
        let name = |text: &str| Name::new(text).unwrap();
        let names = Names {
            cloud: name("demo"),
            host: name("den"),
            networks: [name("lan")].into(),
            machines: Default::default(),
            allow: Vec::new(),
            far_allow: Vec::new(),
            peers: Default::default(),
        };
        let place = Place { cloud: &names.cloud, host: &names.host, network: &name("lan") };
        let askers = [IpAddr::from([127, 0, 0, 1]), place.v4(&name("web")).into()];
        let ask = |current: &Current, asker, asked: &str| {
            current.answer(asker, &DnsName::from_ascii(asked).unwrap(), RecordType::AAAA)
        };
        let current = Current::new(&names, false).unwrap();
        for asker in askers {
            let answer = ask(&current, asker, "web.lan.den.demo.internal.");
            assert!(matches!(answer, Some(Answer::NoData { expected: true, .. })), "{answer:?}");
        }
        let answer = ask(&current, askers[0], "den.demo.internal.");
        assert!(matches!(answer, Some(Answer::Records(..))), "{answer:?}");
        // Even where it turns out that there was nothing to wait for.
        let settled = current.next(&names).unwrap();
        let answer = ask(&settled, askers[0], "web.lan.den.demo.internal.");
        assert!(matches!(answer, Some(Answer::NoName(_))), "{answer:?}");
        assert_eq!(ask(&settled, askers[1], "web.lan.den.demo.internal."), None);
    }
}
