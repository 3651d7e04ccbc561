use super::*;

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = cpio::Writer::new(Vec::new(), 1 << 20);
    for (name, bytes) in entries {
        writer.add(name, 0o100_644, bytes).unwrap();
    }
    writer.finish().unwrap()
}

fn merged(input: &[u8]) -> Result<Vec<u8>> {
    let mut writer = cpio::Writer::new(Vec::new(), 1 << 16);
    plain(input, "initrd i", &mut writer)?;
    Ok(writer.finish().unwrap())
}

#[test]
fn archives_one_after_the_other_become_one() {
    let (one, two) = (archive(&[("kernel/microcode", b"early")]), archive(&[("init", b"late")]));
    let expected = archive(&[("kernel/microcode", b"early"), ("init", b"late")]);
    let mut seconds = vec![("plain".to_owned(), two.clone())];
    for (format, tool) in crate::compress::tests::TOOLS {
        seconds.push((format.to_string(), crate::compress::tests::packed(tool, &two)));
    }
    for (name, second) in &seconds {
        let input = [&one[..], &[0; 512], second, &[0; 8]].concat();
        assert_eq!(merged(&input).unwrap(), expected, "{name}");
        // Both packed, as Debian's early and main parts can be.
        let input = [&zstd::encode_all(&one[..], 3).unwrap()[..], &[0; 4], second].concat();
        assert_eq!(merged(&input).unwrap(), expected, "{name} after zstd");
    }
}

#[test]
fn hostile_archives_are_refused_with_the_place() {
    let good = archive(&[("a", b"text"), ("b", b"more")]);
    let says = |input: &[u8]| merged(input).unwrap_err().to_string();
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        says(&bad)
    };
    let said = [
        says(b"text"),
        says(&archive(&[("x/../../etc/passwd", b"")])),
        says(&archive(&[("/etc/passwd", b"")])),
        with(54, b"ffffffff"), // the size
        with(94, b"ffffffff"), // the name's length
        with(94, b"00000000"),
        with(54, b"0000+004"),
        says(&good[..150]),
        says(&archive(&[("large", &[1; 1 << 16])])),
        says(&zstd::encode_all(&zstd::encode_all(&good[..], 1).unwrap()[..], 1).unwrap()),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    initrd i: at byte 0: neither a cpio archive nor a compressed one
    initrd i: at byte 0: x/../../etc/passwd: the name leads out by `..`
    initrd i: at byte 0: /etc/passwd: the name is absolute
    initrd i: at byte 0: a is said to have 4294967295 bytes; the archive is cut off: failed to fill whole buffer
    initrd i: at byte 0: a name of 4294967295 bytes
    initrd i: at byte 0: a name of 0 bytes
    initrd i: at byte 0: a header with something else than hex digits
    initrd i: at byte 116: the archive is cut off: failed to fill whole buffer
    initrd i: at byte 0: large: the initrd is larger than 65536 bytes
    initrd i, zstd part at 0: at byte 0: the archive is cut off: failed to fill whole buffer
    ");
}

#[test]
fn the_guest_is_a_small_static_program() {
    assert!(GUEST.starts_with(b"\x7fELF") && GUEST.len() < 1 << 20);
    // No PT_INTERP among its program headers.
    let headers = GUEST[64..].chunks(56).take(usize::from(GUEST[56]));
    assert!(headers.into_iter().all(|header| header[0] != 3));
}
