//! What references mean, compared with Nix 2.34.

use super::*;

/// A reference, its attributes as JSON, and how it is written again.
const GOOD: &[(&str, &str, &str)] = &[
    ("nixpkgs", r#"{"id":"nixpkgs","type":"indirect"}"#, "flake:nixpkgs"),
    (
        "nixpkgs/nixos-23.05",
        r#"{"id":"nixpkgs","ref":"nixos-23.05","type":"indirect"}"#,
        "flake:nixpkgs/nixos-23.05",
    ),
    (
        "nixpkgs/a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4",
        r#"{"id":"nixpkgs","rev":"a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4","type":"indirect"}"#,
        "flake:nixpkgs/a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4",
    ),
    (
        "nixpkgs/x/a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4",
        r#"{"id":"nixpkgs","ref":"x","rev":"a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4","type":"indirect"}"#,
        "flake:nixpkgs/x/a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4",
    ),
    ("path:../", r#"{"path":"../","type":"path"}"#, "path:../"),
    ("path:a//", r#"{"path":"a/","type":"path"}"#, "path:a/"),
    ("flake:nixpkgs", r#"{"id":"nixpkgs","type":"indirect"}"#, "flake:nixpkgs"),
    ("flake:nixpkgs/foo", r#"{"id":"nixpkgs","ref":"foo","type":"indirect"}"#, "flake:nixpkgs/foo"),
    (
        "github:NixOS/nixpkgs",
        r#"{"owner":"NixOS","repo":"nixpkgs","type":"github"}"#,
        "github:NixOS/nixpkgs",
    ),
    (
        "github:NixOS/nixpkgs/branch",
        r#"{"owner":"NixOS","ref":"branch","repo":"nixpkgs","type":"github"}"#,
        "github:NixOS/nixpkgs/branch",
    ),
    (
        "github:NixOS/nixpkgs/feat/x",
        r#"{"owner":"NixOS","ref":"feat/x","repo":"nixpkgs","type":"github"}"#,
        "github:NixOS/nixpkgs/feat%2Fx",
    ),
    (
        "github:NixOS/nixpkgs?ref=x&dir=lib",
        r#"{"dir":"lib","owner":"NixOS","ref":"x","repo":"nixpkgs","type":"github"}"#,
        "github:NixOS/nixpkgs/x?dir=lib",
    ),
    (
        "github:NixOS/nixpkgs?host=git.example.org",
        r#"{"host":"git.example.org","owner":"NixOS","repo":"nixpkgs","type":"github"}"#,
        "github:NixOS/nixpkgs?host=git.example.org",
    ),
    (
        "github:NixOS/nixpkgs/a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4?narHash=sha256-47DEQpj8HBSa%2B/TImW%2B5JCeuQeRkm5NMpJWZG3hSuFU%3D",
        r#"{"narHash":"sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=","owner":"NixOS","repo":"nixpkgs","rev":"a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4","type":"github"}"#,
        "github:NixOS/nixpkgs/a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4?narHash=sha256-47DEQpj8HBSa%2B/TImW%2B5JCeuQeRkm5NMpJWZG3hSuFU%3D",
    ),
    ("gitlab:a/b", r#"{"owner":"a","repo":"b","type":"gitlab"}"#, "gitlab:a/b"),
    ("gitlab:a%2Fb/c", r#"{"owner":"a/b","repo":"c","type":"gitlab"}"#, "gitlab:a%2Fb/c"),
    ("sourcehut:~a/b", r#"{"owner":"~a","repo":"b","type":"sourcehut"}"#, "sourcehut:~a/b"),
    (
        "sourcehut:~a/b/master",
        r#"{"owner":"~a","ref":"master","repo":"b","type":"sourcehut"}"#,
        "sourcehut:~a/b/master",
    ),
    (
        "git+https://example.org/x.git",
        r#"{"type":"git","url":"https://example.org/x.git"}"#,
        "git+https://example.org/x.git",
    ),
    (
        "git+https://example.org/x.git?ref=main&rev=a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4",
        r#"{"ref":"main","rev":"a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4","type":"git","url":"https://example.org/x.git"}"#,
        "git+https://example.org/x.git?ref=main&rev=a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4",
    ),
    (
        "git+https://example.org/x.git?shallow=1&submodules=1&dir=a/b&foo=bar",
        r#"{"dir":"a/b","shallow":true,"submodules":true,"type":"git","url":"https://example.org/x.git?foo=bar"}"#,
        "git+https://example.org/x.git?dir=a/b&foo=bar&shallow=1&submodules=1",
    ),
    ("git+file:///a/b", r#"{"type":"git","url":"file:///a/b"}"#, "git+file:///a/b"),
    (
        "git+file:///a/b%20c?dir=x",
        r#"{"dir":"x","type":"git","url":"file:///a/b%20c"}"#,
        "git+file:///a/b%20c?dir=x",
    ),
    ("git://example.org/x", r#"{"type":"git","url":"git://example.org/x"}"#, "git://example.org/x"),
    (
        "git+ssh://git@example.org/x/y",
        r#"{"type":"git","url":"ssh://git@example.org/x/y"}"#,
        "git+ssh://git@example.org/x/y",
    ),
    (
        "git+ssh://git@example.org:2222/x/y",
        r#"{"type":"git","url":"ssh://git@example.org:2222/x/y"}"#,
        "git+ssh://git@example.org:2222/x/y",
    ),
    ("path:/a/b", r#"{"path":"/a/b","type":"path"}"#, "path:/a/b"),
    ("path:./a", r#"{"path":"./a","type":"path"}"#, "path:./a"),
    ("path:../a", r#"{"path":"../a","type":"path"}"#, "path:../a"),
    ("path:a", r#"{"path":"a","type":"path"}"#, "path:a"),
    ("/a/b", r#"{"path":"/a/b","type":"path"}"#, "path:/a/b"),
    ("/a/b?dir=c", r#"{"dir":"c","path":"/a/b","type":"path"}"#, "path:/a/b?dir=c"),
    ("/a b/c", r#"{"path":"/a b/c","type":"path"}"#, "path:/a%20b/c"),
    (
        "https://example.org/x.tar.gz",
        r#"{"type":"tarball","url":"https://example.org/x.tar.gz"}"#,
        "https://example.org/x.tar.gz",
    ),
    (
        "https://example.org/x",
        r#"{"type":"tarball","url":"https://example.org/x"}"#,
        "https://example.org/x",
    ),
    (
        "https://example.org/x.tar.gz?dir=y&rev=a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4&lastModified=4&foo=1",
        r#"{"dir":"y","lastModified":4,"rev":"a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4","type":"tarball","url":"https://example.org/x.tar.gz?foo=1"}"#,
        "https://example.org/x.tar.gz?dir=y&foo=1",
    ),
    (
        "tarball+https://example.org/x",
        r#"{"type":"tarball","url":"https://example.org/x"}"#,
        "https://example.org/x",
    ),
    (
        "file+https://example.org/x",
        r#"{"type":"file","url":"https://example.org/x"}"#,
        "https://example.org/x",
    ),
    (
        "file:///a/b.tar.gz",
        r#"{"type":"tarball","url":"file:///a/b.tar.gz"}"#,
        "file:///a/b.tar.gz",
    ),
    ("file+file:///a/b", r#"{"type":"file","url":"file:///a/b"}"#, "file:///a/b"),
    ("tarball+file:///a/b", r#"{"type":"tarball","url":"file:///a/b"}"#, "file:///a/b"),
    (
        "http://example.org/a%20b.zip",
        r#"{"type":"tarball","url":"http://example.org/a%20b.zip"}"#,
        "http://example.org/a%20b.zip",
    ),
    (
        "path:/a?lastModified=5&narHash=sha256-47DEQpj8HBSa%2B/TImW%2B5JCeuQeRkm5NMpJWZG3hSuFU%3D&rev=a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4&revCount=7",
        r#"{"lastModified":5,"narHash":"sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=","path":"/a","rev":"a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4","revCount":7,"type":"path"}"#,
        "path:/a?lastModified=5&narHash=sha256-47DEQpj8HBSa%2B/TImW%2B5JCeuQeRkm5NMpJWZG3hSuFU%3D&rev=a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4a1b2c3d4&revCount=7",
    ),
    (
        "git+https://example.org/x?allRefs=1&exportIgnore=1&lfs=0",
        r#"{"allRefs":true,"exportIgnore":true,"lfs":false,"type":"git","url":"https://example.org/x"}"#,
        "git+https://example.org/x?exportIgnore=1",
    ),
    (
        "hg+https://example.org/x",
        r#"{"type":"hg","url":"https://example.org/x"}"#,
        "hg+https://example.org/x",
    ),
    (
        "hg+file:///a/b?ref=x",
        r#"{"ref":"x","type":"hg","url":"file:///a/b"}"#,
        "hg+file:///a/b?ref=x",
    ),
    ("path:///a/b", r#"{"path":"/a/b","type":"path"}"#, "path:/a/b"),
    ("path:/a//b/../c", r#"{"path":"/a/b/../c","type":"path"}"#, "path:/a/b/../c"),
    (
        "git+https://user:pa%20ss@example.org:80/x?q=a%26b",
        r#"{"type":"git","url":"https://user:pa%20ss@example.org:80/x?q=a%26b"}"#,
        "git+https://user:pa%20ss@example.org:80/x?q=a%26b",
    ),
    (
        "github:a/b/c?dir=x%20y",
        r#"{"dir":"x y","owner":"a","ref":"c","repo":"b","type":"github"}"#,
        "github:a/b/c?dir=x%20y",
    ),
    (
        "git+https://[::1]:8080/x",
        r#"{"type":"git","url":"https://[::1]:8080/x"}"#,
        "git+https://[::1]:8080/x",
    ),
    ("github:a/b?owner=c", r#"{"owner":"a","repo":"b","type":"github"}"#, "github:a/b"),
    ("path:a?dir=b&dir=c", r#"{"dir":"b","path":"a","type":"path"}"#, "path:a?dir=b"),
    ("http://", r#"{"type":"tarball","url":"http://"}"#, "http://"),
    ("git+file:a/b", r#"{"type":"git","url":"file:a/b"}"#, "git+file:a/b"),
    ("git+file:./a", r#"{"type":"git","url":"file:./a"}"#, "git+file:./a"),
    ("github:a/b?lastModified=5", r#"{"owner":"a","repo":"b","type":"github"}"#, "github:a/b"),
    ("flake:nixpkgs?ref=x", r#"{"id":"nixpkgs","type":"indirect"}"#, "flake:nixpkgs"),
    ("/a?b", r#"{"path":"/a","type":"path"}"#, "path:/a"),
    (
        "path:/a?narHash=foo",
        r#"{"narHash":"foo","path":"/a","type":"path"}"#,
        "path:/a?narHash=foo",
    ),
    ("github:a/b/", r#"{"owner":"a","repo":"b","type":"github"}"#, "github:a/b"),
    (
        "https://example.org",
        r#"{"type":"tarball","url":"https://example.org"}"#,
        "https://example.org",
    ),
    (
        "https://example.org/",
        r#"{"type":"tarball","url":"https://example.org/"}"#,
        "https://example.org/",
    ),
    (
        "https://example.org/a?x=a b",
        r#"{"type":"tarball","url":"https://example.org/a?x=a%20b"}"#,
        "https://example.org/a?x=a%20b",
    ),
    (
        "https://example.org/x.tar.gz?narHash=sha256-47DEQpj8HBSa%2B/TImW%2B5JCeuQeRkm5NMpJWZG3hSuFU%3D",
        r#"{"narHash":"sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=","type":"tarball","url":"https://example.org/x.tar.gz"}"#,
        "https://example.org/x.tar.gz?narHash=sha256-47DEQpj8HBSa%2B/TImW%2B5JCeuQeRkm5NMpJWZG3hSuFU%3D",
    ),
    (
        "git+https://example.org/x?narHash=sha256-47DEQpj8HBSa%2B/TImW%2B5JCeuQeRkm5NMpJWZG3hSuFU%3D",
        r#"{"type":"git","url":"https://example.org/x?narHash=sha256-47DEQpj8HBSa%2B/TImW%2B5JCeuQeRkm5NMpJWZG3hSuFU%3D"}"#,
        "git+https://example.org/x?narHash=sha256-47DEQpj8HBSa%2B/TImW%2B5JCeuQeRkm5NMpJWZG3hSuFU%3D",
    ),
    ("path:/a/../b", r#"{"path":"/a/../b","type":"path"}"#, "path:/a/../b"),
    ("path:", r#"{"path":"/","type":"path"}"#, "path:/"),
    ("github:a//b", r#"{"owner":"a","repo":"b","type":"github"}"#, "github:a/b"),
    (
        "github:a/b/refs/heads/x",
        r#"{"owner":"a","ref":"refs/heads/x","repo":"b","type":"github"}"#,
        "github:a/b/refs%2Fheads%2Fx",
    ),
    ("path:~x", r#"{"path":"~x","type":"path"}"#, "path:~x"),
    ("github:a/b?dir=", r#"{"owner":"a","repo":"b","type":"github"}"#, "github:a/b"),
    ("git+file:///a?dir=", r#"{"type":"git","url":"file:///a"}"#, "git+file:///a"),
    ("A", r#"{"id":"A","type":"indirect"}"#, "flake:A"),
    ("a-b_c", r#"{"id":"a-b_c","type":"indirect"}"#, "flake:a-b_c"),
];

/// What is refused, and how that is said.
const BAD: &[(&str, &str)] = &[
    ("", "flake reference '' is not an absolute path"),
    ("flake:", "flake reference 'flake:' is not an absolute path"),
    ("a b", "flake reference 'a b' is not an absolute path"),
    ("x/branch/other", "in flake URL 'flake:x/branch/other', 'other' is not a commit hash"),
    ("x/a?ref=b", "flake reference 'x/a?ref=b' is not an absolute path"),
    ("github:a/", "flake reference 'github:a/' is not an absolute path"),
    ("github:/b", "flake reference 'github:/b' is not an absolute path"),
    ("github:a/b/c d", "flake reference 'github:a/b/c d' is not an absolute path"),
    ("github:a/b?rev=main", "hash 'main' has wrong length for hash algorithm 'sha1'"),
    (
        "github:a/b/main?rev=0123456789012345678901234567890123456789",
        "flake reference 'github:a/b/main?rev=0123456789012345678901234567890123456789' is not an absolute path",
    ),
    ("tarball+nothing:x", "input 'tarball+nothing:x' is unsupported"),
    (
        "file+tarball+https://example.org/x",
        "input 'file+tarball+https://example.org/x' is unsupported",
    ),
    ("./x", "flake reference './x' is not an absolute path"),
    ("../x", "flake reference '../x' is not an absolute path"),
    (".", "flake reference '.' is not an absolute path"),
    ("foo:bar", "input 'foo:bar' is unsupported"),
    ("github:a/b#frag", "unexpected fragment 'frag' in flake reference 'github:a/b#frag'"),
    ("path:a?foo=b", "path URL 'path:a?foo=b' has unsupported parameter 'foo'"),
    ("git+https://x/y?rev=zz", "hash 'zz' has wrong length for hash algorithm 'sha1'"),
    ("nixpkgs#hello", "unexpected fragment 'hello' in flake reference 'nixpkgs#hello'"),
    ("github:a/b?ref=..", "flake reference 'github:a/b?ref=..' is not an absolute path"),
    ("/a#x", "unexpected fragment 'x' in flake reference '/a#x'"),
    ("git:a/b", "flake reference 'git:a/b' is not an absolute path"),
    ("git+http:x", "flake reference 'git+http:x' is not an absolute path"),
    (
        "file+git:///x",
        "input 'file+git:///x' is unsupported; did you mean 'git+file' instead of 'file+git'?",
    ),
    ("sourcehut:a", "flake reference 'sourcehut:a' is not an absolute path"),
    (" nixpkgs", "flake reference ' nixpkgs' is not an absolute path"),
    ("nix pkgs", "flake reference 'nix pkgs' is not an absolute path"),
    (
        "git+https://example.org/x?ref=a..b",
        "flake reference 'git+https://example.org/x?ref=a..b' is not an absolute path",
    ),
    (
        "git+https://example.org/x?ref=x%20y",
        "flake reference 'git+https://example.org/x?ref=x%20y' is not an absolute path",
    ),
    (
        "https://example.org/a b",
        "flake reference 'https://example.org/a b' is not an absolute path",
    ),
    (
        "git+ssh://git@example.org:x/y",
        "flake reference 'git+ssh://git@example.org:x/y' is not an absolute path",
    ),
    ("ssh://git@example.org/x", "input 'ssh://git@example.org/x' is unsupported"),
    ("git@github.com:a/b", "flake reference 'git@github.com:a/b' is not an absolute path"),
    ("path://host/a", "path URL 'path://host/a' should not have an authority ('host')"),
    ("file://host/a", "flake reference 'file://host/a' is not an absolute path"),
    ("indirect:nixpkgs", "input 'indirect:nixpkgs' is unsupported"),
    ("mercurial:x", "input 'mercurial:x' is unsupported"),
    ("tarball:https://x", "input 'tarball:https://x' is unsupported"),
    ("github:a/b?host=a/b", "flake reference 'github:a/b?host=a/b' is not an absolute path"),
    ("~/x", "flake reference '~/x' is not an absolute path"),
    (
        "https://example.org/%zz",
        "flake reference 'https://example.org/%zz' is not an absolute path",
    ),
    ("x%20y", "flake reference 'x%20y' is not an absolute path"),
    (
        "nixpkgs/a..b",
        "in flake URL 'flake:nixpkgs/a..b', 'a..b' is not a commit hash or branch/tag name",
    ),
    ("1a", "flake reference '1a' is not an absolute path"),
    ("nixpkgs/@", "in flake URL 'flake:nixpkgs/@', '@' is not a commit hash or branch/tag name"),
    ("github:a/b?ref=@", "flake reference 'github:a/b?ref=@' is not an absolute path"),
    (
        "path:/a?lastModified=x",
        "path URL 'path:/a?lastModified=x' has invalid parameter 'lastModified'",
    ),
];

#[test]
fn references_are_read_and_written() {
    for (text, attrs, again) in GOOD {
        let found = FlakeRef::parse(text, true, true);
        let found = found.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(to_json(&found.to_attrs()).to_string(), *attrs, "{text}");
        assert_eq!(found.to_text().as_deref(), Ok(*again), "{text}");
        let back = FlakeRef::from_attrs(found.to_attrs());
        assert_eq!(back.as_ref(), Ok(&found), "{text}");
    }
}

#[test]
fn what_is_no_reference_is_refused() {
    for (text, message) in BAD {
        let found = FlakeRef::parse(text, true, false).and_then(|found| found.to_text());
        assert_eq!(found.map_err(|error| error.to_string()), Err((*message).to_owned()), "{text}");
    }
}

#[test]
fn branches_and_tags() {
    for name in ["main", "a/b", "v1.0", "refs/heads/x", "HEAD", "@x", "a@b"] {
        assert!(is_legal_ref(name), "{name}");
    }
    for name in ["", "@", "a..b", "-x", "a b", "a.lock", ".a", "a/", "/a", "a//b", "x.", "a@{b"] {
        assert!(!is_legal_ref(name), "{name}");
    }
}
