//! What an image leaves out of packages: pages that nobody reads in a machine. Licences stay.

const LEFT_OUT: [&str; 6] = [
    "/usr/share/doc/*",
    "/usr/share/groff/*",
    "/usr/share/info/*",
    "/usr/share/lintian/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
];
const KEPT: &str = "/usr/share/doc/*/copyright";

/// The options that tell `dpkg`.
pub(super) fn options() -> impl Iterator<Item = String> {
    let out = LEFT_OUT.iter().map(|pattern| format!("--path-exclude={pattern}"));
    out.chain([format!("--path-include={KEPT}")])
}

/// The same for a path in a package.
pub(super) fn leaves_out(path: &[u8]) -> bool {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    let is_below = |pattern: &&str| {
        path.starts_with(pattern.trim_start_matches('/').trim_end_matches('*').as_bytes())
    };
    LEFT_OUT.iter().any(is_below) && !path.ends_with(b"/copyright")
}
