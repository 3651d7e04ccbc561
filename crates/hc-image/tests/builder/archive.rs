//! Archives to images: what the kernel shows of them, and that two builds are the same bytes.
use crate::support::{Workplace, mounted};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a builder; gives the image, or what was said.
fn build(
    place: &Workplace,
    name: &str,
    what: &str,
    env: &[(&str, &str)],
) -> Result<PathBuf, String> {
    let (out, work) = (place.path().join(name), place.path().join(format!("{name}-work")));
    std::fs::create_dir_all(&work).unwrap();
    let mut command = Command::new(place.path().join("builder"));
    command.arg(what).env_clear().env("out", &out).env("TMPDIR", &work).envs(env.iter().copied());
    let done = command.output().unwrap();
    // What is unpacked on the way has no name, so nothing is left of it.
    assert_eq!(work.read_dir().unwrap().count(), 0);
    if done.status.success() {
        return Ok(out.join("rootfs.erofs"));
    }
    assert!(!out.join("manifest.json").exists());
    Err(String::from_utf8_lossy(&done.stderr).trim().to_owned())
}

fn shell(dir: &Path, script: &str) -> String {
    let done = Command::new("bash").args(["-euc", script]).current_dir(dir).output().unwrap();
    assert!(done.status.success(), "{script}\n{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Everything that one can see of a tree, as lines.
const LIST: &str = "find . -printf '%y %m %U:%G %T@ %n %l %p\n' | sort -k 7; \
    find . -type f -print0 | sort -z | xargs -0 sha256sum; \
    find . \\( -type b -o -type c \\) -print0 | sort -z | xargs -0r stat -c '%n %t:%T'; \
    find . -type f -links +1 -printf '%i %p\n' | sort -k 2 | awk '{ if (!($1 in n)) n[$1] = $2; print n[$1], $2 }'; \
    find . -print0 | sort -z | xargs -0 getfattr -hd -m 'user|trusted|security.capability' -e hex";

const SOURCE: &str = "mkdir -p tree/usr/bin tree/etc tree/var/empty tree/dev; cd tree
    echo hello > etc/motd; chmod 640 etc/motd; chown 7:42 etc/motd
    cp /bin/true usr/bin/su; chmod 4755 usr/bin/su; cp /bin/true usr/bin/ping; setcap cap_net_raw+ep usr/bin/ping
    ln usr/bin/su usr/bin/sudo; ln -s usr/bin bin; ln -s /etc/motd absolute; chown -h 5:6 absolute
    mknod dev/null c 1 3; mknod dev/disk b 259 300; mkfifo dev/pipe; chmod 1777 var; chmod 2755 etc
    setfattr -n user.note -v something etc/motd; setfattr -n trusted.deep -v x usr
    truncate -s 5M holes; printf middle | dd of=holes bs=1 seek=2000000 conv=notrunc status=none; printf end >> holes
    head -c 300000 /dev/urandom > random; : > empty; long=$(printf '%0120d' 7); mkdir -p $long/$long; echo deep > $long/$long/$long
    touch -d '1969-12-31 23:59:58.25 UTC' usr/bin/ping; touch -d '2001-02-03 04:05:06.789 UTC' etc/motd empty; touch -d '2020-01-01 UTC' .";

#[test]
fn the_kernel_shows_what_was_packed_and_any_day_gives_the_same_bytes() {
    let place = Workplace::new();
    let dir = place.path();
    shell(dir, SOURCE);
    let expected = shell(&dir.join("tree"), LIST);
    let forms = [
        ("pax", "tar --format=posix --xattrs --xattrs-include='*' --sparse -C tree -cf pax.tar ."),
        (
            "pax01",
            "tar --format=posix --xattrs --xattrs-include='*' --sparse --sparse-version=0.1 -C tree -cf pax01.tar .",
        ),
        (
            "pax00",
            "tar --format=posix --xattrs --xattrs-include='*' --sparse --sparse-version=0.0 -C tree -cf pax00.tar .",
        ),
        ("gz", "gzip -k pax.tar && mv pax.tar.gz gz.tar"),
        ("xz", "xz -0k pax.tar && mv pax.tar.xz xz.tar"),
        ("zst", "zstd -q pax.tar && mv pax.tar.zst zst.tar"),
        ("bz2", "bzip2 -k pax.tar && mv pax.tar.bz2 bz2.tar"),
    ];
    let mut first: Option<Vec<u8>> = None;
    for (name, pack) in forms {
        shell(dir, pack);
        let src = dir.join(format!("{name}.tar"));
        let one = build(&place, name, "tar-rootfs", &[("src", src.to_str().unwrap())]).unwrap();
        let bytes = std::fs::read(&one).unwrap();
        if first.is_none() {
            let seen = mounted(&one, |root| shell(root, LIST));
            pretty(&expected, &seen);
        }
        // However it is packed, it is the same tree.
        let first = first.get_or_insert_with(|| bytes.clone());
        assert!(*first == bytes, "{name} differs");
    }
    // Another day, another place, another umask, another user, the entries in another order.
    shell(dir, "mkdir other; (cd tree; find . | sort -r) > names
        tar --format=posix --xattrs --xattrs-include='*' --sparse --no-recursion -C tree -T names -cf other/again.tar
        touch -d 2001-01-01 other/again.tar; chmod 777 other");
    let script = format!(
        "umask 077; out={0}/second TMPDIR={0}/other src={0}/other/again.tar exec setpriv --reuid 1234 \
         --clear-groups {0}/builder tar-rootfs",
        dir.display()
    );
    shell(dir, "chmod 755 . builder; mkdir second; chmod 777 second");
    shell(dir, &script);
    // Which name of two is the first is the archive's order, and no other byte is.
    let again = std::fs::read(dir.join("second/rootfs.erofs")).unwrap();
    assert!(first.unwrap() == again);
}

fn pretty(expected: &str, seen: &str) {
    for (expected, seen) in expected.lines().zip(seen.lines()) {
        assert_eq!(expected, seen);
    }
    assert_eq!(expected.lines().count(), seen.lines().count());
}

#[test]
fn gnu_archives_keep_what_they_can() {
    let place = Workplace::new();
    let dir = place.path();
    shell(dir, SOURCE);
    // GNU's own form has no attributes and whole seconds.
    shell(dir, "find tree -exec setfattr -hx user.note {} \\; 2>/dev/null; setfattr -x trusted.deep tree/usr; setcap -r tree/usr/bin/ping
        find tree -depth -exec touch -hd '2001-02-03 04:05:06 UTC' {} \\;
        tar --format=gnu --sparse -C tree -cf gnu.tar .");
    let src = dir.join("gnu.tar");
    let image = build(&place, "gnu", "tar-rootfs", &[("src", src.to_str().unwrap())]).unwrap();
    pretty(&shell(&dir.join("tree"), LIST), &mounted(&image, |root| shell(root, LIST)));
}

/// A tar file of entries whose paths nobody looked at.
fn raw(entries: &[(&str, u8, &str)]) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for (path, kind, target) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::new(*kind));
        header.set_mode(0o644);
        let data = if matches!(kind, b'0' | b'x' | b'g') { target.as_bytes() } else { b"" };
        header.set_size(data.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..path.len()].copy_from_slice(path.as_bytes());
        if data.is_empty() {
            gnu.linkname[..target.len()].copy_from_slice(target.as_bytes());
        }
        if matches!(kind, b'3' | b'4') {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        header.set_cksum();
        out.append(&header, data).unwrap();
    }
    out.into_inner().unwrap()
}

#[test]
fn hostile_archives_are_refused_by_name() {
    let place = Workplace::new();
    let mut said = Vec::new();
    let mut refused = |name: &str, bytes: &[u8], more: &[(&str, &str)]| {
        let src = place.path().join(format!("{name}.tar"));
        std::fs::write(&src, bytes).unwrap();
        let env: Vec<_> = [("src", src.to_str().unwrap())].iter().chain(more).copied().collect();
        said.push(build(&place, name, "tar-rootfs", &env).unwrap_err());
    };
    refused("up", &raw(&[("a/../../etc/passwd", b'0', "x")]), &[]);
    refused("absolute", &raw(&[("/etc/passwd", b'0', "x")]), &[]);
    refused("link-up", &raw(&[("a", b'1', "../../etc/shadow")]), &[]);
    refused("link-missing", &raw(&[("a", b'1', "b")]), &[]);
    refused("link-self", &raw(&[("a", b'1', "a")]), &[]);
    refused("loop", &raw(&[("a", b'2', "b"), ("b", b'2', "a"), ("a/c", b'0', "x")]), &[]);
    refused("twice", &raw(&[("a", b'0', "x"), ("./a", b'0', "y")]), &[]);
    refused("over", &raw(&[("a/b", b'0', "x"), ("a", b'2', "/")]), &[]);
    refused("below", &raw(&[("a", b'0', "x"), ("a/b", b'0', "y")]), &[]);
    refused("kind", &raw(&[("a", b'Q', "")]), &[]);
    refused(
        "pax-size",
        &raw(&[("h", b'x', "28 size=9223372036854775807\n"), ("a", b'0', "x")]),
        &[],
    );
    refused("pax-liar", &raw(&[("h", b'x', "99999 path=x\n"), ("a", b'0', "x")]), &[]);
    refused("pax-all", &raw(&[("h", b'g', "12 path=evil\n"), ("a", b'0', "x")]), &[]);
    refused("pax-uid", &raw(&[("h", b'x', "18 uid=4294967295\n"), ("a", b'0', "x")]), &[]);
    refused(
        "sparse",
        &raw(&[
            ("h", b'x', "30 GNU.sparse.realsize=999999\n25 GNU.sparse.map=0,5,2,9\n"),
            ("a", b'0', "x"),
        ]),
        &[],
    );
    refused(
        "huge-hole",
        &raw(&[
            ("h", b'x', "44 GNU.sparse.realsize=1152921504606846976\n22 GNU.sparse.map=0,1\n"),
            ("a", b'0', "x"),
        ]),
        &[],
    );
    refused("after", &raw(&[("h", b'x', "9 a.b=cd\n")]), &[]);
    let good = raw(&[("a", b'0', "x"), ("b", b'0', "y")]);
    refused("cut", &good[..1100], &[]);
    refused("no-end", &good[..2048], &[]);
    let mut flipped = good.clone();
    flipped[1024 + 3] ^= 4;
    refused("flipped", &flipped, &[]);
    refused("nothing", b"", &[]);
    refused("text", &[b'#'; 600], &[]);
    let deep = format!("{}x", "d/".repeat(40));
    refused("entries", &raw(&[(&deep, b'0', "x"), ("b", b'0', "x")]), &[("maxEntries", "1")]);
    let zeros = raw(&[("zeros", b'0', &"\0".repeat(1 << 20))]);
    let bomb = zstd::encode_all(&zeros[..], 19).unwrap();
    assert!(bomb.len() < 2000);
    refused("bomb", &bomb, &[("maxSize", "1000000")]);
    refused("cut-zstd", &bomb[..bomb.len() - 9], &[]);
    let mut gz = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::bufread::GzEncoder::new(&good[..], flate2::Compression::fast()),
        &mut gz,
    )
    .unwrap();
    let middle = gz.len() - 6;
    gz[middle] ^= 1;
    refused("crc", &gz, &[]);
    insta::assert_snapshot!(said.join("\n"));
}
