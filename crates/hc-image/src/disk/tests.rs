use super::*;
use std::process::Command;

fn qemu(arguments: &[&str]) {
    let done = Command::new("qemu-img").args(arguments).output().expect("tests need qemu-utils");
    assert!(done.status.success(), "{done:?}");
}

/// A disk of 40 MiB with text, noise and holes.
fn raw(dir: &Path) -> PathBuf {
    let path = dir.join("raw");
    let file = hc_fs::plain::create(&path, 0o644).unwrap();
    file.set_len(40 << 20).unwrap();
    let noise: Vec<u8> =
        (0..3_000_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    file.write_all_at(&noise, 100_000).unwrap();
    file.write_all_at(&b"text ".repeat(500_000), 17 << 20).unwrap();
    file.write_all_at(b"end", (40 << 20) - 3).unwrap();
    path
}

fn converted(dir: &Path, files: &[&Path]) -> Result<Vec<u8>> {
    let files: Vec<PathBuf> = files.iter().map(|f| f.to_path_buf()).collect();
    let target = dir.join("out");
    convert(&files, &target, 1 << 40)?;
    Ok(std::fs::read(target).unwrap())
}

#[test]
fn what_qemu_makes_of_a_disk_is_that_disk() {
    let dir = tempfile::tempdir().unwrap();
    let source = raw(dir.path());
    let expected = std::fs::read(&source).unwrap();
    let image = dir.path().join("image");
    let (from, to) = (source.to_str().unwrap(), image.to_str().unwrap());
    for options in [
        &["-o", "compat=0.10"][..],
        &["-o", "compat=1.1"],
        &["-c"],
        &["-c", "-o", "compression_type=zstd"],
        &["-o", "cluster_size=512"],
        &["-o", "cluster_size=2M"],
        &["-o", "extended_l2=on"],
        &["-o", "extended_l2=on,cluster_size=2M"],
    ] {
        qemu(&[&["convert", "-O", "qcow2", "-f", "raw"], options, &[from, to]].concat());
        assert!(converted(dir.path(), &[&image]).unwrap() == expected, "{options:?}");
    }
    assert!(converted(dir.path(), &[&source]).unwrap() == expected);
    let blocks =
        std::os::unix::fs::MetadataExt::blocks(&dir.path().join("out").metadata().unwrap());
    assert!(blocks * 512 < 8 << 20, "{blocks} blocks: the holes are not kept");
}

#[test]
fn a_chain_is_followed_where_it_is_declared_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let source = raw(dir.path());
    let top = dir.path().join("top");
    let (below, above) = (source.to_str().unwrap(), top.to_str().unwrap());
    qemu(&["create", "-q", "-f", "qcow2", "-b", below, "-F", "raw", above, "60M"]);
    let mut io = Command::new("qemu-io");
    io.args(["-f", "qcow2", "-c", "write -P 7 1M 300k", "-c", "write -z 17M 1M", above]);
    assert!(io.output().unwrap().status.success());
    let mut expected = std::fs::read(&source).unwrap();
    expected.resize(60 << 20, 0);
    expected[1 << 20..][..300 << 10].fill(7);
    expected[17 << 20..18 << 20].fill(0);
    assert!(converted(dir.path(), &[&top, &source]).unwrap() == expected);
    let said = converted(dir.path(), &[&top]).unwrap_err().to_string();
    assert!(said.starts_with("disk top: at byte 8: it lies on `/"), "{said}");
    assert!(said.ends_with("which is not declared: name the file in `backing`"), "{said}");
}

#[test]
fn hostile_images_are_refused_with_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let source = raw(dir.path());
    let image = dir.path().join("disk");
    qemu(&["convert", "-O", "qcow2", source.to_str().unwrap(), image.to_str().unwrap()]);
    let good = std::fs::read(&image).unwrap();
    let number = |at: usize| u64::from_be_bytes(good[at..at + 8].try_into().unwrap());
    let at = |n: u64| usize::try_from(n).unwrap();
    let l1 = at(number(40));
    let l2 = at(number(l1) & 0x00ff_ffff_ffff_fe00);
    let with = |place: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[place..place + bytes.len()].copy_from_slice(bytes);
        hc_fs::plain::write(&image, &bad, 0o644).unwrap();
        converted(dir.path(), &[&image]).unwrap_err().to_string()
    };
    let entry = 1u64 << 63;
    let said = [
        with(4, &9u32.to_be_bytes()),
        with(24, &(1u64 << 60).to_be_bytes()),
        with(20, &40u32.to_be_bytes()),
        with(32, &1u32.to_be_bytes()),
        with(36, &0u32.to_be_bytes()),
        with(36, &u32::MAX.to_be_bytes()),
        with(40, &(1u64 << 50).to_be_bytes()),
        with(48, &7u64.to_be_bytes()),
        with(56, &u32::MAX.to_be_bytes()),
        with(72, &2u64.to_be_bytes()),
        with(72, &4u64.to_be_bytes()),
        with(72, &(1u64 << 40).to_be_bytes()),
        with(l1, &(entry | l1 as u64).to_be_bytes()),
        with(l2 + 8, &(entry | l2 as u64).to_be_bytes()),
        with(l2 + 8, &number(l2 + 16).to_be_bytes()),
        with(l2 + 8, &(entry | 1 << 40).to_be_bytes()),
        with(l2 + 8, &(entry | 0x200).to_be_bytes()),
        with(l2 + 8, &(3u64 << 62 | 0x400_0000).to_be_bytes()),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    disk disk: at byte 0: not a qcow2 image of version 2 or 3
    disk disk: at byte 24: the disk has 1152921504606846976 bytes; 1099511627776 are allowed (`maxSize`)
    disk disk: at byte 20: clusters of 2^40 bytes; 2^9 to 2^21 are allowed
    disk disk: at byte 32: it is encrypted: decrypt it first
    disk disk: at byte 36: a first-level table of 0 entries; the disk needs 1
    disk disk: at byte 36: a first-level table of 4294967295 entries; the disk needs 1
    disk disk: at byte 40: 0x4000000000000 is past the end of the file
    disk disk: at byte 48: 0x7 is not where a cluster begins
    disk disk: at byte 56: a table of reference counts of 4294967295 clusters
    disk disk: at byte 72: it is marked as corrupt: repair it with `qemu-img check -r all` first
    disk disk: at byte 72: its data is in another file: convert it with `qemu-img convert` first
    disk disk: at byte 72: it has features that are not known here: 0x10000000000
    disk disk: at byte 196608: the cluster at 0x30000 is used twice
    disk disk: at byte 262152: the cluster at 0x40000 is used twice
    disk disk: at byte 262160: the cluster at 0x60000 is used twice
    disk disk: at byte 262152: 0x10000000000 is past the end of the file
    disk disk: at byte 262152: 0x200 is not where a cluster begins
    disk disk: at byte 262152: 0x4000000 is past the end of the file
    ");
}

#[test]
fn images_cut_off_or_with_a_flipped_bit_end() {
    let dir = tempfile::tempdir().unwrap();
    let (small, image) = (dir.path().join("small"), dir.path().join("disk"));
    hc_fs::plain::write(&small, &b"text".repeat(100_000), 0o644).unwrap();
    qemu(&["convert", "-c", "-O", "qcow2", small.to_str().unwrap(), image.to_str().unwrap()]);
    let good = std::fs::read(&image).unwrap();
    for step in 0..600usize {
        let mut bad = good.clone();
        let at = (step * 7919) % if step % 2 == 0 { 112 } else { bad.len() };
        bad[at] ^= 1 << (step % 8);
        if step % 5 == 0 {
            bad.truncate(at);
        }
        hc_fs::plain::write(&image, &bad, 0o644).unwrap();
        if let Err(error) = converted(dir.path(), &[&image]) {
            assert!(error.to_string().starts_with("disk disk: at byte "), "{error}");
        }
    }
}

#[test]
fn other_formats_go_through_qemu_and_keep_to_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let source = raw(dir.path());
    let program = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|dir| dir.join("qemu-img"))
        .find(|program| program.exists())
        .expect("tests need qemu-utils");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    for format in ["vdi", "vmdk", "vhdx", "vpc"] {
        let image = dir.path().join(format);
        qemu(&["convert", "-f", "raw", "-O", format, &path(&source), &path(&image)]);
        let mut env: Env = [("src", path(&image)), ("out", path(&dir.path().join("built")))]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
        let said = build(&env).unwrap_err().to_string();
        assert!(said.contains(&format!("is a {format} image")), "{said}");
        env.insert("qemuImg".into(), path(&program));
        build(&env).unwrap();
        let built = std::fs::read(dir.path().join("built/disk.raw")).unwrap();
        let source = std::fs::read(&source).unwrap();
        let (same, more) = built.split_at(source.len());
        assert!(same == source && more.iter().all(|byte| *byte == 0), "{format}");
        // Disks of this format have whole cylinders.
        assert!(more.is_empty() || format == "vpc", "{format}");
        env.insert("maxSize".into(), "4096".into());
        let said = build(&env).unwrap_err().to_string();
        let size = built.len();
        assert!(
            said.ends_with(&format!("the disk has {size} bytes; 4096 are allowed (`maxSize`)")),
            "{said}"
        );
    } // What lies on another file, and one whose tables name files that are none of the build's.
    let (below, above) = (path(&dir.path().join("vmdk")), path(&dir.path().join("above")));
    qemu(&["create", "-q", "-f", "vmdk", "-b", &below, "-F", "vmdk", &above]);
    let mut env: Env = [("src", above), ("qemuImg", path(&program))]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
    env.insert("out".into(), path(&dir.path().join("never")));
    let said = build(&env).unwrap_err().to_string();
    assert!(said.contains("it lies on `/") && said.contains("qemu-img convert"), "{said}");
    assert!(!dir.path().join("never/disk.raw").exists());
}

#[test]
fn qemu_reads_and_writes_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for name in ["given", "secret"] {
        hc_fs::plain::write(&path(name), name.as_bytes(), 0o644).unwrap();
    }
    hc_fs::plain::create_dir(&path("out"), 0o755).unwrap();
    let script = "cat given; cat secret; echo x >beside; echo x >out/there; ulimit -c; ulimit -f";
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(dir.path());
    let done = confine::output(&mut command, &[path("given")], &[&path("out")], 1 << 10).unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(said, "given0\n8388610\n", "{complaints}");
    assert!(complaints.contains("secret: Permission denied"), "{complaints}");
    assert!(!path("beside").exists() && path("out/there").exists());
}
