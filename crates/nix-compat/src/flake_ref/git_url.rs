//! The ways people write the address of a git repository.

use crate::url::{BadUrl, Url, split_scheme};

/// The URL of a repository, also from a path or `user@host:path`.
///
/// # Errors
/// When it is none of these.
pub fn fix_git_url(text: &str) -> Result<Url, BadUrl> {
    let scp = (!text.starts_with('/')).then(|| scp_style(text)).flatten();
    let text = scp.as_deref().unwrap_or(text);
    if !text.starts_with("file:") && !text.starts_with("git+file:") && !text.contains("://") {
        if text.split('/').next().is_some_and(|first| first.contains(':')) {
            return Err(BadUrl(format!(
                "SCP-like URL '{text}' is not supported; use SSH URL syntax instead (ssh://...)"
            )));
        }
        return Ok(Url::of_path("file", text));
    }
    let mut url = Url::parse(text, false)?;
    if let (Some("git"), transport) = split_scheme(&url.scheme) {
        url.scheme = transport.to_owned();
    }
    Ok(url)
}

/// `ssh://user@host/path` for `user@host:path`.
fn scp_style(text: &str) -> Option<String> {
    let (before, path) = text.rsplit_once(':')?;
    let first = before.split('/').next().unwrap_or_default();
    let at = first.rfind('@')?;
    let (user, host) = (&before[..at], &before[at + 1..]);
    Some(format!("ssh://{user}@{host}/{path}"))
}
