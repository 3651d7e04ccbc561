//! From a question to an answer.

use super::Names;
use super::forward::Forwarder;
use super::table::{Answer, Table, is_ours};
use crate::error::Result;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Edns, HeaderCounts, MessageType, Metadata, OpCode, ResponseCode};
use hickory_server::proto::rr::{DNSClass, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, RwLock};

/// What all listeners of a name server share. Parts of it are replaced whole at run time.
pub(super) struct Shared {
    state: RwLock<Arc<(Names, Table)>>,
    forwarder: RwLock<Arc<Forwarder>>,
}

/// A [`Shared`] as the server library wants it.
#[derive(Clone)]
pub(super) struct Handler(pub(super) Arc<Shared>);

#[derive(Default)]
struct Reply {
    code: ResponseCode,
    authoritative: bool,
    answers: Vec<Record>,
    authority: Vec<Record>,
}

impl From<ResponseCode> for Reply {
    fn from(code: ResponseCode) -> Self {
        Self { code, ..Self::default() }
    }
}

impl Shared {
    pub(super) fn new(names: &Names, upstreams: &[SocketAddr]) -> Result<Self> {
        Ok(Self {
            state: RwLock::new(Arc::new((names.clone(), Table::new(names)?))),
            forwarder: RwLock::new(Arc::new(Forwarder::new(upstreams)?)),
        })
    }

    pub(super) fn set_names(&self, names: &Names) -> Result<()> {
        let new = Arc::new((names.clone(), Table::new(names)?));
        *self.state.write().unwrap_or_else(|e| e.into_inner()) = new;
        Ok(())
    }

    pub(super) fn set_upstreams(&self, upstreams: &[SocketAddr]) -> Result<()> {
        let new = Arc::new(Forwarder::new(upstreams)?);
        *self.forwarder.write().unwrap_or_else(|e| e.into_inner()) = new;
        Ok(())
    }

    async fn reply(&self, request: &Request) -> Reply {
        let Ok(info) = request.request_info() else { return ResponseCode::FormErr.into() };
        if info.metadata.op_code != OpCode::Query {
            return ResponseCode::NotImp.into();
        }
        let state = self.state.read().unwrap_or_else(|e| e.into_inner()).clone();
        let (names, table) = &*state;
        // Names tell what runs here, and forwarding works for whoever may ask: neither is for
        // the world, whatever the packet filter says.
        let source = info.src.ip().to_canonical();
        if !(source.is_loopback() || is_ours(names, source) || is_link_local(source)) {
            return ResponseCode::Refused.into();
        }
        let (name, kind) = (info.query.original().name(), info.query.query_type());
        let transfer = matches!(kind, RecordType::AXFR | RecordType::IXFR);
        if info.query.query_class() != DNSClass::IN || transfer {
            return ResponseCode::Refused.into();
        }
        let own =
            |code, answers, authority| Reply { code, authoritative: true, answers, authority };
        match table.answer(name, kind) {
            Answer::Records(records) => own(ResponseCode::NoError, records, Vec::new()),
            Answer::NoData(soa) => own(ResponseCode::NoError, Vec::new(), vec![*soa]),
            Answer::NoName(soa) => own(ResponseCode::NXDomain, Vec::new(), vec![*soa]),
            Answer::Elsewhere if info.metadata.recursion_desired => {
                let forwarder = self.forwarder.read().unwrap_or_else(|e| e.into_inner()).clone();
                let mut name = name.clone();
                name.set_fqdn(true);
                let forwarded = forwarder.ask(name, kind).await;
                Reply {
                    code: forwarded.code,
                    authoritative: false,
                    answers: forwarded.answers,
                    authority: forwarded.authority,
                }
            }
            Answer::Elsewhere => ResponseCode::Refused.into(),
        }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut responses: R,
    ) -> ResponseInfo {
        let mut edns = None;
        let reply = match &request.edns {
            Some(asked) if asked.version() > 0 => {
                edns = Some(Edns::new());
                ResponseCode::BADVERS.into()
            }
            Some(asked) => {
                let mut ours = Edns::new();
                // A datagram that fits into IPv6's smallest packet is never fragmented.
                ours.set_max_payload(asked.max_payload().clamp(512, 1232));
                edns = Some(ours);
                self.0.reply(request).await
            }
            None => self.0.reply(request).await,
        };
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = reply.authoritative;
        metadata.recursion_available = true;
        metadata.response_code = reply.code;
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &mut edns {
            edns.set_rcode_high(reply.code.high());
            builder.edns(edns);
        }
        let message = builder.build(metadata, &reply.answers, &reply.authority, [], []);
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
