//! What commits, branches, tags and registry entries can be called.

/// A commit: 40 hexadecimal digits.
#[must_use]
pub fn is_revision(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What an input can be called in a registry.
#[must_use]
pub fn is_id(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// The characters of a branch or tag in `id/branch`.
pub(super) fn is_plain_ref(text: &str) -> bool {
    let first = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'@';
    text.as_bytes().first().is_some_and(first)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./@+-".contains(&byte))
}

/// Whether git takes the name for a branch, a tag or a whole reference.
#[must_use]
pub fn is_legal_ref(name: &str) -> bool {
    let forbidden = |byte: u8| byte <= b' ' || byte == 0x7f || b"~^:?*[\\".contains(&byte);
    if name.is_empty()
        || name == "@"
        || name.contains("..")
        || name.contains("@{")
        || name.ends_with('.')
        || name.bytes().any(forbidden)
    {
        return false;
    }
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    // A dash at the beginning would be an option; a whole reference has a slash and may have one.
    name.split('/').all(part) && (!name.starts_with('-') || name.contains('/'))
}
