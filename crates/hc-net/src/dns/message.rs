//! Replies as messages of DNS (RFC 1035, 6891).

use super::table::Answer;
use hickory_server::proto::op::{Edns, Metadata, ResponseCode};
use hickory_server::proto::rr::Record;
use hickory_server::proto::serialize::binary::BinEncoder;
use hickory_server::server::Request;
use hickory_server::zone_handler::{MessageResponse, MessageResponseBuilder};
use std::array;
use std::slice::Iter;

/// Bytes of the longest answer to who says nothing about it (RFC 1035 4.2.1).
const SHORT: u16 = 512;
/// A datagram that fits into IPv6's smallest packet is never fragmented.
const WHOLE: u16 = 1232;

/// What is answered.
#[derive(Default)]
pub(super) struct Reply {
    pub code: ResponseCode,
    pub authoritative: bool,
    pub answers: Vec<Record>,
    pub authority: Vec<Record>,
    pub additional: Vec<Record>,
}

impl From<ResponseCode> for Reply {
    fn from(code: ResponseCode) -> Self {
        Self { code, ..Self::default() }
    }
}

impl Reply {
    /// The reply that an answer of the table is. Where others know, it is that nobody here does.
    pub fn of(answer: Answer) -> Self {
        let own = |code| Self { code, authoritative: true, ..Self::default() };
        match answer {
            Answer::Records(answers, additional) => {
                Self { answers, additional, ..own(ResponseCode::NoError) }
            }
            Answer::NoData { soa, .. } => {
                Self { authority: vec![*soa], ..own(ResponseCode::NoError) }
            }
            Answer::NoName(soa) => Self { authority: vec![*soa], ..own(ResponseCode::NXDomain) },
            Answer::Far(_) | Answer::Elsewhere => ResponseCode::Refused.into(),
        }
    }

    /// The first words of it.
    pub fn head(&self, request: &Request) -> Head {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = self.authoritative;
        metadata.recursion_available = true;
        metadata.response_code = self.code;
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            if asked.version() == 0 {
                edns.set_max_payload(asked.max_payload().clamp(SHORT, WHOLE));
            }
            edns.set_rcode_high(self.code.high());
            edns
        });
        Head { metadata, edns }
    }
}

/// What stands before and behind the records.
pub(super) struct Head {
    metadata: Metadata,
    edns: Option<Edns>,
}

type Records<'a> = Iter<'a, Record>;
type Message<'a> =
    MessageResponse<'a, 'a, Records<'a>, Records<'a>, array::IntoIter<&'a Record, 0>, Records<'a>>;

impl Head {
    /// All of it.
    pub fn message<'a>(&'a self, request: &'a Request, reply: &'a Reply) -> Message<'a> {
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &self.edns {
            builder.edns(edns);
        }
        builder.build(self.metadata, &reply.answers, &reply.authority, [], &reply.additional)
    }
}

/// A datagram for whoever asked; none where it cannot be said in one.
pub(super) fn encode(request: &Request, reply: &Reply) -> Option<Vec<u8>> {
    let head = reply.head(request);
    let mut bytes = Vec::with_capacity(SHORT.into());
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(head.edns.as_ref().map_or(SHORT, Edns::max_payload));
    match head.message(request, reply).destructive_emit(&mut encoder) {
        Ok(_) => Some(bytes),
        Err(error) => {
            tracing::debug!(%error, "an answer cannot be written");
            None
        }
    }
}

/// The answer to a question that cannot be read; none to what is no question at all.
pub(super) fn malformed(datagram: &[u8]) -> Option<Vec<u8>> {
    let [first, second, flags, ..] = *datagram.first_chunk::<12>()?;
    let answer = flags & 0x80 != 0;
    // What was asked for and whether others may be asked is repeated.
    let head = [first, second, 0x80 | flags & 0x79, 1];
    (!answer).then(|| [&head[..], &[0; 8]].concat())
}
