//! Questions about names outside the cloud go to the resolvers the host had before hc.

use crate::error::Result;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name as DnsName, Record, RecordType};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use std::net::SocketAddr;
use std::time::Duration;

/// Whoever asks gives up after five seconds (resolv.conf(5)); a bad answer before that is better.
const PATIENCE: Duration = Duration::from_secs(4);

/// Resolvers, with a cache.
pub(super) struct Forwarder(Option<TokioResolver>);

/// What they answered.
#[derive(Debug, Default)]
pub(super) struct Forwarded {
    pub(super) code: ResponseCode,
    pub(super) answers: Vec<Record>,
    pub(super) authority: Vec<Record>,
}

impl Forwarder {
    /// Asks `upstreams` in order of how fast they answer.
    pub(super) fn new(upstreams: &[SocketAddr]) -> Result<Self> {
        Self::build(upstreams, PATIENCE / 2, 2)
    }

    fn build(upstreams: &[SocketAddr], timeout: Duration, attempts: usize) -> Result<Self> {
        if upstreams.is_empty() {
            return Ok(Self(None));
        }
        let server = |address: &SocketAddr| {
            let mut server = NameServerConfig::udp_and_tcp(address.ip());
            let at = |mut connection: ConnectionConfig| {
                connection.port = address.port();
                connection
            };
            server.connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
            server
        };
        let config = ResolverConfig::from_name_servers(upstreams.iter().map(server).collect());
        let provider = TokioRuntimeProvider::default();
        let mut builder = hickory_resolver::Resolver::builder_with_config(config, provider);
        let options = builder.options_mut();
        // What is in the host's own /etc/hosts is the host's business.
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = timeout;
        options.attempts = attempts;
        options.cache_size = 1024;
        options.positive_max_ttl = Some(Duration::from_secs(300));
        options.negative_max_ttl = Some(Duration::from_secs(30));
        Ok(Self(Some(builder.build()?)))
    }

    /// Asks another host of the cloud, at any of its addresses. It may make the question wait.
    pub(super) fn to_host(addresses: &[SocketAddr]) -> Result<Self> {
        Self::build(addresses, PATIENCE, 1)
    }

    /// Asks them one question.
    pub(super) async fn ask(&self, name: DnsName, kind: RecordType) -> Forwarded {
        let refuse = |code| Forwarded { code, ..Forwarded::default() };
        let Some(resolver) = &self.0 else { return refuse(ResponseCode::ServFail) };
        let asked = tokio::time::timeout(PATIENCE, resolver.lookup(name, kind)).await;
        match asked.unwrap_or(Err(NetError::Timeout)) {
            Ok(lookup) => Forwarded {
                code: ResponseCode::NoError,
                answers: lookup.answers().to_vec(),
                authority: Vec::new(),
            },
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => Forwarded {
                code: none.response_code,
                answers: Vec::new(),
                authority: none.soa.map(|soa| soa.into_record_of_rdata()).into_iter().collect(),
            },
            Err(NetError::Dns(DnsError::ResponseCode(code))) => refuse(code),
            Err(error) => {
                tracing::debug!(%error, "no resolver answered");
                refuse(ResponseCode::ServFail)
            }
        }
    }
}
