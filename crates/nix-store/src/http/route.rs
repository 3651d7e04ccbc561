//! Connections that go through a proxy where there is one: what is encrypted through a tunnel
//! (`CONNECT`), the rest as a request to the proxy with the whole address in it (RFC 9112, 3.2.2). No
//! name is looked up that the proxy looks up.

use super::proxy::{Proxies, Proxy};
use std::sync::Arc;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, TcpConnector,
    Transport,
};

/// Where connections go.
#[derive(Debug, Clone)]
pub(super) struct Route {
    proxies: Arc<Proxies>,
}

/// How a host is reached.
enum Way {
    Itself,
    /// Through a tunnel.
    Tunnel(Proxy),
    /// By asking the proxy for it.
    Ask(Proxy),
}

impl Route {
    pub fn new(proxies: Proxies) -> Self {
        Self { proxies: Arc::new(proxies) }
    }

    fn way(&self, address: &Uri) -> Result<Way, ureq::Error> {
        let proxy = self.proxies.of(address).map_err(|reason| ureq::Error::Other(reason.into()))?;
        Ok(match proxy {
            None => Way::Itself,
            Some(proxy) if address.scheme_str() == Some("https") => Way::Tunnel(proxy),
            Some(proxy) if proxy.is_at(address) || self.is_tunnel(address) => Way::Itself,
            Some(proxy) => Way::Ask(proxy),
        })
    }

    /// Whether this is where tunnels begin.
    fn is_tunnel(&self, address: &Uri) -> bool {
        let any = Uri::from_static("https://any.invalid/");
        matches!(self.proxies.of(&any), Ok(Some(proxy)) if proxy.is_at(address))
    }
}

impl Resolver for Route {
    fn resolve(
        &self,
        address: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let resolver = DefaultResolver::default();
        match self.way(address)? {
            Way::Itself => resolver.resolve(address, config, timeout),
            Way::Ask(proxy) => resolver.resolve(&proxy.address, config, timeout),
            // The tunnel looks its proxy up itself.
            Way::Tunnel(_) => {
                let mut none = self.empty();
                none.push(([0, 0, 0, 0], 0).into());
                Ok(none)
            }
        }
    }
}

impl Connector<()> for Route {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        match self.way(details.uri)? {
            Way::Itself => direct(details),
            Way::Tunnel(proxy) => tunnel(details, &proxy),
            Way::Ask(proxy) => {
                let host = details.uri.authority().map_or("", |authority| authority.as_str());
                let asking = |to| Asking {
                    to,
                    before: format!("http://{host}"),
                    login: proxy.authorization().unwrap_or_default(),
                    answered: true,
                };
                Ok(direct(details)?.map(|to| Box::new(asking(to)) as Box<dyn Transport>))
            }
        }
    }
}

type Opened = Result<Option<Box<dyn Transport>>, ureq::Error>;

fn direct(details: &ConnectionDetails<'_>) -> Opened {
    let opened = Connector::<()>::connect(&TcpConnector::default(), details, None)?;
    Ok(opened.map(|opened| Box::new(opened) as Box<dyn Transport>))
}

fn tunnel(details: &ConnectionDetails<'_>, proxy: &Proxy) -> Opened {
    let mut through = ureq::Proxy::builder(ureq::ProxyProtocol::Http)
        .host(proxy.address.host().unwrap_or_default())
        .port(proxy.address.port_u16().unwrap_or_default());
    if let Some((name, password)) = &proxy.login {
        through = through.username(name).password(password);
    }
    let config = ureq::Agent::config_builder()
        .user_agent(super::agent::USER_AGENT)
        .proxy(Some(through.build()?))
        .build();
    let details = ConnectionDetails {
        uri: details.uri,
        addrs: details.addrs.clone(),
        config: &config,
        request_level: details.request_level,
        resolver: details.resolver,
        now: details.now,
        timeout: details.timeout,
        current_time: details.current_time.clone(),
        run_connector: details.run_connector.clone(),
        register_shutdown: details.register_shutdown.clone(),
    };
    let opened = Connector::<()>::connect(&ConnectProxyConnector::default(), &details, None)?;
    Ok(opened.map(|opened| Box::new(opened) as Box<dyn Transport>))
}

/// A connection to a proxy on which requests are for it.
#[derive(Debug)]
struct Asking {
    to: Box<dyn Transport>,
    /// What comes before a path in a request.
    before: String,
    /// A header, or nothing.
    login: String,
    /// What is sent next is a request: there was an answer to the last one.
    answered: bool,
}

impl Asking {
    /// The beginning of a request, as a proxy wants it.
    fn asked(&self, request: &[u8]) -> Vec<u8> {
        let position = |what: &[u8]| request.windows(what.len()).position(|found| found == what);
        let (Some(path), Some(line)) = (position(b" /"), position(b"\r\n")) else {
            return request.to_vec();
        };
        let (method, rest) = request.split_at(path + 1);
        let (target, headers) = rest.split_at((line + 2).saturating_sub(path + 1));
        [method, self.before.as_bytes(), target, self.login.as_bytes(), headers].concat()
    }
}

impl Transport for Asking {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.to.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if !std::mem::take(&mut self.answered) {
            return self.to.transmit_output(amount, timeout);
        }
        let plain = self.to.buffers().output()[..amount].to_vec();
        let request = self.asked(&plain);
        let mut rest = &request[..];
        while !rest.is_empty() {
            let output = self.to.buffers().output();
            let (now, later) = rest.split_at(rest.len().min(output.len()));
            output[..now.len()].copy_from_slice(now);
            self.to.transmit_output(now.len(), timeout)?;
            rest = later;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.answered = true;
        self.to.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.to.is_open()
    }
}
