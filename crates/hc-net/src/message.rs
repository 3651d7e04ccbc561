//! Messages of netlink(7) that no library of ours writes.

use std::io;

/// Finds the first refusal among acknowledgements.
pub(crate) fn check(mut answer: &[u8]) -> io::Result<()> {
    while let Some(length) = field(answer, 0).map(|length| length as usize) {
        let kind = answer.get(4..6).map(|k| u16::from_ne_bytes([k[0], k[1]]));
        if length < 16 || length > answer.len() {
            break;
        }
        if kind == Some(libc::NLMSG_ERROR as u16) {
            let code = field(answer, 16).unwrap_or_default().cast_signed();
            if code != 0 {
                return Err(io::Error::from_raw_os_error(-code));
            }
        }
        answer = answer.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}

fn field(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(crate) fn nested(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    attribute(out, kind | libc::NLA_F_NESTED as u16, body);
}

pub(crate) fn attribute(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&kind.to_ne_bytes());
    body(out);
    let length = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
    out[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    out.resize(out.len().next_multiple_of(4), 0);
}
