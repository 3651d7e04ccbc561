#![allow(clippy::disallowed_methods)]

use super::*;
use proptest::prelude::*;
use std::cmp::Ordering;
use std::process::Command;

/// A package archive from its members.
pub(crate) fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        out.extend(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100644, bytes.len())
                .bytes(),
        );
        out.extend(*bytes);
        out.resize(out.len().next_multiple_of(2), b'\n');
    }
    out
}

fn open(bytes: &[u8]) -> Result<Deb> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostile_1_all.deb");
    std::fs::write(&path, bytes).unwrap();
    let deb = Deb::open(&path)?;
    deb.control()?;
    Ok(deb)
}

#[test]
fn damaged_packages_are_named_and_refused() {
    let whole = ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", b"x"), ("data.tar.xz", b"y")]);
    let mut size = whole.clone();
    size[56] = b'-';
    let many = ar(&vec![("debian-binary", b"".as_slice()); 20]);
    let huge =
        [&b"!<arch>\n"[..], format!("{:<48}{:<10}`\n", "debian-binary", "9999999999").as_bytes()]
            .concat();
    let cases = [
        &b""[..],
        b"<html>not found</html>",
        &whole[..90],
        &ar(&[("data.tar", b"")]),
        &ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", b"")]),
        &ar(&[("debian-binary", b"2.0\n"), ("control.tar.lzma", b""), ("data.tar", b"")]),
        &whole,
        &size,
        &many,
        &huge,
    ];
    let errors: Vec<String> = cases.iter().map(|c| open(c).unwrap_err().to_string()).collect();
    insta::assert_snapshot!(errors.join("\n"), @r"
    package hostile_1_all.deb: it is too short for a package
    package hostile_1_all.deb: it does not begin as an `ar` archive: not a Debian package
    package hostile_1_all.deb: it is cut off at byte 72
    package hostile_1_all.deb: it does not begin with `debian-binary`: not a Debian package
    package hostile_1_all.deb: it has no `data.tar` part: cut off or not a package
    package hostile_1_all.deb: its compression `.lzma` is none of .xz, .zst and .gz
    package hostile_1_all.deb: its control part is damaged: unexpected end of file
    package hostile_1_all.deb: the header at byte 8 has no size
    package hostile_1_all.deb: it has more than 16 parts
    package hostile_1_all.deb: it is cut off: `debian-binary` should have 9999999999 bytes more
    ");
}

#[test]
fn relations() {
    let read = |text| {
        parse(text).map(|all| {
            let shown = |any: &Vec<relation::Relation>| {
                any.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
            };
            all.iter().map(shown).collect::<Vec<_>>().join(", ")
        })
    };
    use relation::parse;
    assert_eq!(read("").unwrap(), "");
    assert_eq!(
        read("libc6 (>= 2.34),perl:any|  awk (<<1:2~) , x11 (= 1)").unwrap(),
        "libc6 (>= 2.34), perl | awk (<< 1:2~), x11 (= 1)"
    );
    assert!(read("a b").is_err() && read("aa (>= )").is_err() && read("../x").is_err());
}

#[test]
fn paragraphs_of_a_list() {
    let text = "Package: a\nDescription: x\n more\n .\nSize: 1\n\n\n# c\nPackage: b\n";
    let all: Vec<_> = control::paragraphs(text).collect();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].get("description"), Some("x\n more\n ."));
    assert_eq!(all[0].get("Size"), Some("1"));
    assert_eq!(all[1].get("Package"), Some("b"));
}

#[test]
fn control_of_a_package() {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    let text =
        b"Package: tiny\nVersion: 1:2~3\nArchitecture: all\nEssential: yes\nDepends: aa | bb\n";
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, "control", &text[..]).unwrap();
    let archive = archive.into_inner().unwrap();
    let xz = liblzma::encode_all(&archive[..], 1).unwrap();
    let zst = zstd::encode_all(&archive[..], 1).unwrap();
    for (name, bytes) in
        [("control.tar", archive), ("control.tar.xz", xz), ("control.tar.zst", zst)]
    {
        let deb = ar(&[("debian-binary", b"2.0\n"), (name, &bytes), ("data.tar", b"")]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tiny.deb");
        std::fs::write(&path, deb).unwrap();
        let text = Deb::open(&path).unwrap().control().unwrap();
        let info = Info::parse(&control::paragraphs(&text).next().unwrap()).unwrap();
        assert_eq!(
            (info.name.as_str(), info.version.as_str(), info.essential),
            ("tiny", "1:2~3", true)
        );
        assert_eq!(info.depends[0].len(), 2);
    }
}

fn dpkg(a: &str, op: &str, b: &str) -> bool {
    let done = Command::new("dpkg").args(["--compare-versions", a, op, b]).output().unwrap();
    done.status.success()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn versions_compare_as_dpkg_does(
        a in "([0-2]:)?[0-9][0-9a-b.+~]{0,6}(-[0-1a.~+]{1,3})?",
        b in "([0-2]:)?[0-9][0-9a-b.+~]{0,6}(-[0-1a.~+]{1,3})?",
    ) {
        let order = version::compare(&a, &b);
        prop_assert_eq!(order == Ordering::Less, dpkg(&a, "lt", &b), "{} {}", a, b);
        prop_assert_eq!(order == Ordering::Equal, dpkg(&a, "eq", &b), "{} {}", a, b);
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let start = ar(&[("debian-binary", b"2.0\n")]);
        let _ = open(&[start, bytes].concat());
    }
}
