//! The settings of C++ Nix 2.34, as `nix.conf` names them, and which of them hc heeds.

/// What a setting says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// True or false: `--NAME` and `--no-NAME`.
    Switch,
    /// A text or number: `--NAME VALUE`.
    Text,
    /// Words: `--NAME WORDS`, and `--extra-NAME WORDS` for more of them.
    Words,
}

/// What hc does with a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Heeds it, also as an argument; this is what `--help` says, nothing where it is not listed.
    Argument(&'static str),
    /// Heeds it; an argument that `--help` does not list, where the verb has none of its own.
    Heeded,
    /// It is of no concern here.
    None,
}

/// A setting of C++ Nix.
#[derive(Debug)]
pub struct Setting {
    /// As `nix.conf` has it.
    pub name: &'static str,
    /// As it was once called.
    pub aliases: &'static [&'static str],
    pub kind: Kind,
    pub part: Part,
}

const fn row(name: &'static str, kind: Kind, part: Part) -> Setting {
    Setting { name, aliases: &[], kind, part }
}

const fn once(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    part: Part,
) -> Setting {
    Setting { name, aliases, kind, part }
}

use Kind::{Switch, Text, Words};
use Part::{Argument, Heeded, None};

/// An argument that `--help` does not list.
const UNLISTED: Part = Argument("");

/// All of them, by name.
pub const SETTINGS: &[Setting] = &[
    row(
        "abort-on-warn",
        Switch,
        Argument("Stop where builtins.warn warns [env: NIX_ABORT_ON_WARN]"),
    ),
    row("accept-flake-config", Switch, None),
    row("access-tokens", Words, UNLISTED),
    row("allow-dirty", Switch, UNLISTED),
    row("allow-dirty-locks", Switch, UNLISTED),
    row("allow-import-from-derivation", Switch, UNLISTED),
    row("allow-new-privileges", Switch, None),
    row("allow-symlinked-store", Switch, None),
    row("allow-unsafe-native-code-during-evaluation", Switch, None),
    row("allowed-impure-host-deps", Words, None),
    row("allowed-uris", Words, UNLISTED),
    row("allowed-users", Words, None),
    row("always-allow-substitutes", Switch, None),
    row("auto-allocate-uids", Switch, None),
    row("auto-optimise-store", Switch, UNLISTED),
    row("bash-prompt", Text, None),
    row("bash-prompt-prefix", Text, None),
    row("bash-prompt-suffix", Text, None),
    row("build-dir", Text, None),
    row("build-hook", Words, None),
    row("build-poll-interval", Text, None),
    row("build-users-group", Text, None),
    row("builders", Text, None),
    row("builders-use-substitutes", Switch, None),
    once("commit-lock-file-summary", &["commit-lockfile-summary"], Text, UNLISTED),
    once("compress-build-log", &["build-compress-log"], Switch, None),
    row("connect-timeout", Text, None),
    once("cores", &["build-cores"], Text, Heeded),
    row("debugger-on-trace", Switch, None),
    row("debugger-on-warn", Switch, None),
    row("diff-hook", Text, None),
    row("download-attempts", Text, UNLISTED),
    row("download-buffer-size", Text, None),
    row("download-speed", Text, None),
    row("eval-attrset-update-layer-rhs-threshold", Text, None),
    row("eval-cache", Switch, Heeded),
    row("eval-profile-file", Text, None),
    row("eval-profiler", Text, None),
    row("eval-profiler-frequency", Text, None),
    row("eval-system", Text, Argument("What builtins.currentSystem says")),
    row("experimental-features", Words, Heeded),
    row("external-builders", Text, None),
    row("extra-platforms", Words, None),
    once("fallback", &["build-fallback"], Switch, None),
    row("filter-syscalls", Switch, None),
    row(
        "flake-registry",
        Text,
        Argument("The registry of everybody: an address, a file, or nothing"),
    ),
    row("fsync-metadata", Switch, None),
    row("fsync-store-paths", Switch, None),
    row("gc-reserved-space", Text, None),
    row("hashed-mirrors", Words, None),
    once("http-connections", &["binary-caches-parallel-connections"], Text, UNLISTED),
    row("http2", Switch, None),
    row("id-count", Text, None),
    row("ignore-try", Switch, None),
    row("ignored-acls", Words, None),
    once("impersonate-linux-26", &["build-impersonate-linux-26"], Switch, None),
    row("impure-env", Text, None),
    row("json-log-path", Text, None),
    once("keep-build-log", &["build-keep-log"], Switch, None),
    once("keep-derivations", &["gc-keep-derivations"], Switch, Heeded),
    once("keep-env-derivations", &["env-keep-derivations"], Switch, None),
    row("keep-failed", Switch, Heeded),
    row("keep-going", Switch, Heeded),
    once("keep-outputs", &["gc-keep-outputs"], Switch, Heeded),
    row(
        "lint-absolute-path-literals",
        Text,
        Argument("Paths that begin with / or ~: ignore, warn or fatal"),
    ),
    row(
        "lint-short-path-literals",
        Text,
        Argument("Relative paths that do not begin with a dot: ignore, warn or fatal"),
    ),
    row("lint-url-literals", Text, Argument("URLs without quotation marks: ignore, warn or fatal")),
    row("log-lines", Text, None),
    once("max-build-log-size", &["build-max-log-size"], Text, Heeded),
    row("max-call-depth", Text, Argument("How deep calls may nest")),
    row("max-free", Text, None),
    once("max-jobs", &["build-max-jobs"], Text, Heeded),
    once("max-silent-time", &["build-max-silent-time"], Text, Heeded),
    once("max-substitution-jobs", &["substitution-max-jobs"], Text, UNLISTED),
    row("min-free", Text, None),
    row("min-free-check-interval", Text, None),
    row("nar-buffer-size", Text, None),
    row("narinfo-cache-meta-ttl", Text, None),
    row("narinfo-cache-negative-ttl", Text, UNLISTED),
    row("narinfo-cache-positive-ttl", Text, UNLISTED),
    row("netrc-file", Text, UNLISTED),
    row("nix-path", Words, UNLISTED),
    row("nix-shell-always-looks-for-shell-nix", Switch, None),
    row("nix-shell-shebang-arguments-relative-to-script", Switch, None),
    row("plugin-files", Words, None),
    row("post-build-hook", Text, None),
    row("pre-build-hook", Text, None),
    row("preallocate-contents", Switch, None),
    row("print-missing", Switch, None),
    row("pure-eval", Switch, Heeded),
    row("require-drop-supplementary-groups", Switch, None),
    row("require-sigs", Switch, UNLISTED),
    row(
        "restrict-eval",
        Switch,
        Argument("Read only files below the search path, and what --allowed-uris names"),
    ),
    row("run-diff-hook", Switch, None),
    once("sandbox", &["build-use-chroot", "build-use-sandbox"], Switch, None),
    row("sandbox-build-dir", Text, None),
    row("sandbox-dev-shm-size", Text, None),
    row("sandbox-fallback", Switch, None),
    once("sandbox-paths", &["build-chroot-dirs", "build-sandbox-paths"], Words, Heeded),
    row("secret-key-files", Words, None),
    row("show-trace", Switch, Argument("Show every step of an error's trail")),
    row("ssl-cert-file", Text, UNLISTED),
    row("stalled-download-timeout", Text, UNLISTED),
    row("start-id", Text, None),
    row("store", Text, None),
    once("substitute", &["build-use-substitutes"], Switch, Heeded),
    once("substituters", &["binary-caches"], Words, Heeded),
    row("sync-before-registering", Switch, None),
    row("system", Text, UNLISTED),
    row("system-features", Words, None),
    row(
        "tarball-ttl",
        Text,
        Argument("How many seconds what a name stands for counts without asking again"),
    ),
    once("timeout", &["build-timeout"], Text, Heeded),
    row("trace-function-calls", Switch, None),
    row("trace-import-from-derivation", Switch, UNLISTED),
    row("trace-verbose", Switch, Argument("Let builtins.traceVerbose speak")),
    row("trust-tarballs-from-git-forges", Switch, None),
    once("trusted-public-keys", &["binary-cache-public-keys"], Words, UNLISTED),
    once("trusted-substituters", &["trusted-binary-caches"], Words, None),
    row("trusted-users", Words, None),
    row("upgrade-nix-store-path-url", Text, None),
    row("use-case-hack", Switch, None),
    row("use-cgroups", Switch, None),
    once("use-registries", &["registries"], Switch, UNLISTED),
    row("use-sqlite-wal", Switch, None),
    row("use-xdg-base-directories", Switch, None),
    row("user-agent-suffix", Text, None),
    row("warn-dirty", Switch, UNLISTED),
    row("warn-large-path-threshold", Text, None),
    row("warn-short-path-literals", Switch, UNLISTED),
];

/// The setting of a name or former name, without `extra-`.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name || setting.aliases.contains(&name))
}
