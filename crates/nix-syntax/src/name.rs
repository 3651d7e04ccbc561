//! Names of attributes, and strings, as Nix code.

const KEYWORDS: [&[u8]; 9] =
    [b"if", b"then", b"else", b"assert", b"with", b"let", b"in", b"rec", b"inherit"];

/// Whether a name can be written without quotation marks.
#[must_use]
pub fn is_identifier(name: &[u8]) -> bool {
    let first = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    name.first().is_some_and(first)
        && name
            .iter()
            .all(|byte| first(byte) || byte.is_ascii_digit() || matches!(byte, b'\'' | b'-'))
        && !KEYWORDS.contains(&name)
}

/// Appends a string in quotation marks.
pub fn push_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            b'$' if bytes.get(index + 1) == Some(&b'{') => out.extend(b"\\$"),
            byte => out.push(*byte),
        }
    }
    out.push(b'"');
}

/// Appends a name, in quotation marks where it needs them.
pub fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    if is_identifier(name) {
        out.extend_from_slice(name);
    } else {
        push_string(out, name);
    }
}

/// A name for messages, in quotation marks where code would need them.
#[must_use]
pub fn written_name(name: &[u8]) -> String {
    let mut out = Vec::new();
    push_name(&mut out, name);
    String::from_utf8_lossy(&out).into_owned()
}
