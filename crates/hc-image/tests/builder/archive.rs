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
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
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

/// A header about the next entry with its text, and that entry; `extended` is GNU's mark for a map of
/// holes that goes on in the next block.
fn raw_gnu(about: u8, text: &[u8], kind: u8, extended: &[u8]) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    let mut append = |name: &str, kind: u8, data: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(data.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(name.as_bytes());
        gnu.isextended[..extended.len()].copy_from_slice(extended);
        gnu.realsize.copy_from_slice(b"00000001000\0");
        header.set_cksum();
        out.append(&header, data).unwrap();
    };
    append("about", about, text);
    append("a", kind, b"");
    out.into_inner().unwrap()
}

/// A device with a number that EROFS has no room for.
fn raw_device() -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Block);
    header.set_path("dev/disk").unwrap();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header.set_size(0);
    header.set_device_major(5000).unwrap();
    header.set_device_minor(1).unwrap();
    header.set_cksum();
    out.append(&header, &b""[..]).unwrap();
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
    refused("pax-all", &raw(&[("h", b'g', "13 path=evil\n"), ("a", b'0', "x")]), &[]);
    refused("pax-uid", &raw(&[("h", b'x', "18 uid=4294967295\n"), ("a", b'0', "x")]), &[]);
    refused(
        "sparse",
        &raw(&[
            ("h", b'x', "30 GNU.sparse.realsize=999999\n26 GNU.sparse.map=0,5,2,9\n"),
            ("a", b'0', "x"),
        ]),
        &[],
    );
    refused(
        "huge-hole",
        &raw(&[
            ("h", b'x', "43 GNU.sparse.realsize=1152921504606846976\n22 GNU.sparse.map=0,1\n"),
            ("a", b'0', "x"),
        ]),
        &[],
    );
    // Two header blocks of GNU's: a long name and a long target, which lead out.
    refused("long-name", &raw_gnu(b'L', b"../../etc/passwd\0", b'0', b""), &[]);
    refused("long-link", &raw_gnu(b'K', b"../../etc/shadow\0", b'1', b""), &[]);
    refused("long-nul", &raw_gnu(b'L', b"\0", b'0', b""), &[]);
    refused("long-part", &raw_gnu(b'L', &[b'n'; 300], b'0', b""), &[]);
    refused("long-long", &raw_gnu(b'L', &[b'a'; 5 << 20], b'0', b""), &[]);
    // A map in the data: of more parts than there are bytes, of no number, without its end.
    let map = |text: &str| {
        let records = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n28 GNU.sparse.realsize=9999\n";
        raw(&[("h", b'x', records), ("a", b'0', &format!("{text:\0<512}"))])
    };
    refused("map-count", &map("1152921504606846976\n"), &[]);
    refused("map-word", &map("2\n0\nmany\n"), &[]);
    refused("map-short", &map("900\n"), &[]);
    refused("map-over", &map("2\n0\n18446744073709551615\n9\n9\n"), &[]);
    // GNU's own kind, which says that more of its map follows.
    refused("gnu-sparse", &raw_gnu(b'0', b"", b'S', b"\x01")[..1024], &[]);
    refused("device", &raw_device(), &[]);
    let attribute = format!("SCHILY.xattr.user.a={}", "v".repeat(70_000));
    let attribute = format!("{} {attribute}\n", attribute.len() + 7);
    refused("xattr", &raw(&[("h", b'x', &attribute), ("a", b'0', "x")]), &[]);
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
    // What every other packing says of one that is cut off.
    for (name, tool) in [("xz", "xz -0"), ("bz2", "bzip2"), ("gz", "gzip")] {
        std::fs::write(place.path().join("whole"), &zeros).unwrap();
        let packed = shell(place.path(), &format!("{tool} -c whole >packed; stat -c %s packed"));
        assert!(packed.trim().parse::<usize>().unwrap() < 4000);
        let packed = std::fs::read(place.path().join("packed")).unwrap();
        refused(&format!("cut-{name}"), &packed[..packed.len() - 12], &[]);
        refused(&format!("bomb-{name}"), &packed, &[("maxSize", "1000000")]);
    }
    insta::assert_snapshot!(said.join("\n"));
}

/// Lays an archive over nothing, in this process; gives the number of inodes.
fn laid(dir: &Path, bytes: &[u8]) -> hc_image::Result<usize> {
    use hc_image::archive::{Budget, Limits, Slice, Spool};
    let src = dir.join("a.tar");
    std::fs::write(&src, bytes).unwrap();
    let mut budget = Budget::new(Limits { bytes: 1 << 20, entries: 100 });
    let spool = Spool { work: dir };
    let data = spool.plain(&Slice::open(&src)?, "a.tar", &mut budget, None, None)?;
    let mut layers = hc_image::layer::Layers::default();
    layers.lay(data, "a.tar", false, &mut budget)?;
    Ok(layers.into_tree().len())
}

#[test]
fn cut_off_anywhere_or_with_a_flipped_bit_it_is_refused_by_name() {
    // In memory: thousands of files are written, one after the other.
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let good = raw(&[("first", b'0', "x"), ("h", b'x', "13 path=long\n"), ("last", b'0', "y")]);
    let packed = zstd::encode_all(&good[..], 3).unwrap();
    assert_eq!(laid(dir.path(), &good).unwrap(), 3);
    assert_eq!(laid(dir.path(), &packed).unwrap(), 3);
    // The two empty blocks at its end are padding but for the first.
    for end in (0..good.len() - 512).step_by(16) {
        let said = laid(dir.path(), &good[..end]).unwrap_err().to_string();
        let named = ["first", "long", "h:"].iter().any(|n| said.contains(n));
        assert!(said.starts_with("a.tar: ") && (named || end < 512), "{end}: {said}");
    }
    for end in 1..packed.len() {
        assert!(laid(dir.path(), &packed[..end]).is_err(), "{end}");
    }
    // A header has a checksum: of its blocks no bit flips unseen, but where the sum itself is padded.
    let headers = [0..512, 1024..1536, 2048..2560];
    for at in headers.into_iter().flatten() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            let in_sum = (148..156).contains(&(at % 512));
            match laid(dir.path(), &bad) {
                Ok(count) => assert!(in_sum && count == 3, "{at}.{bit}"),
                Err(error) => assert!(error.to_string().starts_with("a.tar: "), "{error}"),
            }
        }
    }
}

const LAYOUT: &str = r#"
import gzip, hashlib, io, json, os, subprocess, sys, tarfile
def layer(*entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, data in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mtime = kind, 5
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE): info.linkname, data = data, ""
            if kind == tarfile.DIRTYPE: info.mode = 0o755
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data.encode()))
    return out.getvalue()
F, D, S, L = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
def write(top, layers, config, spoil=None):
    os.makedirs(top + "/blobs/sha256")
    def blob(data, kind):
        name = hashlib.sha256(data).hexdigest()
        open(top + "/blobs/sha256/" + name, "wb").write(data)
        return {"mediaType": kind, "digest": "sha256:" + name, "size": len(data)}
    packed, diffs = [], []
    for number, data in enumerate(layers):
        diffs.append("sha256:" + hashlib.sha256(data).hexdigest())
        kind = "application/vnd.oci.image.layer.v1.tar"
        if number % 3 == 0: packed.append(blob(gzip.compress(data, mtime=0), kind + "+gzip"))
        if number % 3 == 1: packed.append(blob(subprocess.run(["zstd", "-c"], input=data, capture_output=True, check=True).stdout, kind + "+zstd"))
        if number % 3 == 2: packed.append(blob(data, kind))
    if spoil == "diff": diffs[0] = "sha256:" + "0" * 64
    image = {"architecture": "amd64", "os": "linux", "config": config, "rootfs": {"type": "layers", "diff_ids": diffs}}
    config = blob(json.dumps(image).encode(), "application/vnd.oci.image.config.v1+json")
    if spoil == "path": packed[0]["digest"] = "sha256:../../../../../etc/passwd"
    manifest = blob(json.dumps({"schemaVersion": 2, "config": config, "layers": packed}).encode(), "application/vnd.oci.image.manifest.v1+json")
    manifest["platform"] = {"os": "linux", "architecture": "amd64"}
    other = dict(manifest, digest="sha256:" + "1" * 64, platform={"os": "linux", "architecture": "arm64"})
    index = blob(json.dumps({"schemaVersion": 2, "manifests": [other, manifest]}).encode(), "application/vnd.oci.image.index.v1+json")
    json.dump({"schemaVersion": 2, "manifests": [index]}, open(top + "/index.json", "w"))
    json.dump({"imageLayoutVersion": "1.0.0"}, open(top + "/oci-layout", "w"))
    if spoil == "blob":
        path = top + "/blobs/sha256/" + packed[1]["digest"][7:]
        data = bytearray(open(path, "rb").read()); data[-1] ^= 1; open(path, "wb").write(data)
base = layer(("usr", D, ""), ("usr/bin", D, ""), ("usr/bin/tool", F, "tool"), ("bin", S, "usr/bin"), ("etc", D, ""), ("etc/gone", F, "x"),
    ("etc/kept", F, "kept"), ("data", D, ""), ("data/old", F, "x"), ("data/sub", D, ""), ("data/sub/old", F, "x"), ("tree", D, ""), ("tree/a", F, "a"))
second = layer(("etc/.wh.gone", F, ""), ("data/new", F, "new"), ("data/.wh..wh..opq", F, ""), ("data/sub/new", F, "new"), ("bin/more", F, "through the link"),
    ("hard", L, "etc/kept"), (".wh.tree", F, ""), ("tree", D, ""), ("tree/b", F, "b"), (".wh.never", F, ""))
third = layer(("usr/bin/tool", F, "newer"), ("data", S, "etc"))
config = {"Entrypoint": ["/usr/bin/tool"], "Cmd": ["-x"], "Env": ["A=1", "B=x=y"], "User": "33:4", "WorkingDir": "/etc",
    "StopSignal": "SIGQUIT", "ExposedPorts": {"80/tcp": {}}, "Labels": {"l": "v"}}
write("good", [base, second], config)
write("three", [base, second, third], config)
for kind in ["diff", "path", "blob"]: write(kind, [base, second], {}, kind)
bad = {"empty": ".wh.", "dot": ".wh..", "dots": "etc/.wh...", "link": "bin/.wh.tool", "up": "../.wh.x"}
for name, path in bad.items(): write("wh-" + name, [base, layer((path, F, ""))], {})
write("wh-dir", [base, layer((".wh.etc", D, ""))], {})
write("wh-root", [base, layer(("./.wh./x", F, ""))], {})
write("wh-in", [base, layer(("etc/.wh.kept/x", F, ""))], {})
write("wh-in-opaque", [base, layer(("data/.wh..wh..opq/x", F, ""))], {})
write("wh-to", [base, layer((".wh.never", F, ""), ("a", L, ".wh.never"))], {})
write("wh-notes", [base, layer((".wh..wh.plnk", D, ""), (".wh..wh.plnk/1.2", F, "x"), (".wh..wh.aufs", F, ""), (".wh..wh..opq", F, ""), ("only", F, "this"))], {})
"#;

#[test]
fn the_layers_of_an_oci_image_are_united() {
    let place = Workplace::new();
    let dir = place.path();
    let done = Command::new("python3").args(["-c", LAYOUT]).current_dir(dir).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let image = build(&place, "one", "oci-rootfs", &[("src", &path("good"))]).unwrap();
    let list = "find . -printf '%y %p %l\\n' | sort -k 2; grep -r . etc usr tree data hard";
    let seen = mounted(&image, |root| shell(root, list));
    let manifest = std::fs::read_to_string(image.with_file_name("manifest.json")).unwrap();
    insta::assert_snapshot!("united", without_digests(&format!("{seen}{manifest}")));
    hc_spec_reads(&manifest);
    let three = build(&place, "three-out", "oci-rootfs", &[("src", &path("three"))]).unwrap();
    assert_eq!(
        mounted(&three, |root| shell(root, "cat usr/bin/tool; readlink data")),
        "newer".to_owned() + "etc\n"
    );
    // What a file system noted for itself is not the image's; an opaque root hides all that is below it.
    let notes = build(&place, "notes-out", "oci-rootfs", &[("src", &path("wh-notes"))]).unwrap();
    assert_eq!(mounted(&notes, |root| shell(root, "find . | sort")), ".\n./only\n");
    // As a tar file, packed too, in another order, of another day.
    shell(dir, "tar -C good -cf good.tar . ; (cd good; find . -type f | sort -r) > names; touch -d 2001-01-01 good/*
        tar -C good --no-recursion -T names -czf again.tar");
    for name in ["good.tar", "again.tar"] {
        let again =
            build(&place, &format!("{name}-out"), "oci-rootfs", &[("src", &path(name))]).unwrap();
        assert!(std::fs::read(&image).unwrap() == std::fs::read(&again).unwrap());
        assert_eq!(
            manifest,
            std::fs::read_to_string(again.with_file_name("manifest.json")).unwrap()
        );
    }
    // What nobody sees from outside: it is packed.
    let said = build(&place, "packed-out", "tar-rootfs", &[("src", &path("again.tar"))]);
    assert!(said.unwrap_err().contains("again.tar: it is an OCI image"));
    let mut said = Vec::new();
    for name in
        ["diff", "path", "blob", "wh-empty", "wh-dot", "wh-dots", "wh-link", "wh-up", "wh-dir"]
            .iter()
            .chain(&["wh-root", "wh-in", "wh-in-opaque", "wh-to"])
    {
        said.push(
            build(&place, &format!("{name}-out"), "oci-rootfs", &[("src", &path(name))])
                .unwrap_err(),
        );
    }
    let arm = [("src", path("good")), ("platform", "linux/riscv64".into())];
    let arm: Vec<_> = arm.iter().map(|(key, value)| (*key, value.as_str())).collect();
    said.push(build(&place, "arm", "oci-rootfs", &arm).unwrap_err());
    insta::assert_snapshot!("refused", without_digests(&said.join("\n")));
}

/// Compressors of other versions give other bytes.
fn without_digests(text: &str) -> String {
    let hex = |word: &&str| word.len() >= 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    words
        .map(|word| {
            if hex(&word.get(..64).unwrap_or("")) {
                format!("…{}", &word[64..])
            } else {
                word.into()
            }
        })
        .collect()
}

fn hc_spec_reads(manifest: &str) {
    let manifest = hc_spec::image::Manifest::from_json(manifest.as_bytes()).unwrap();
    assert_eq!(manifest.config.command, ["/usr/bin/tool", "-x"]);
    assert_eq!(manifest.config.stop_signal.as_deref(), Some("QUIT"));
}

/// What the builder has given up when it reads: a process that was stopped there is looked at.
#[test]
fn the_reader_is_confined() {
    let place = Workplace::new();
    let dir = place.path();
    shell(dir, "head -c 60000000 /dev/zero | xz -0 > big; mkdir work out");
    let script = "out=$PWD/out TMPDIR=$PWD/work src=$PWD/big ./builder tar-rootfs 2>/dev/null & pid=$!
        for i in $(seq 500); do grep -q 'Seccomp:.*2' /proc/$pid/status && break; sleep 0.002; done
        kill -STOP $pid; grep -E '^(Seccomp|NoNewPrivs):' /proc/$pid/status; grep -E 'core|address' /proc/$pid/limits | tr -s ' '; kill -KILL $pid";
    insta::assert_snapshot!(shell(dir, script).replace('\t', " "), @r"
    NoNewPrivs: 1
    Seccomp: 2
    Max core file size 0 0 bytes 
    Max address space 4294967296 4294967296 bytes
    ");
}
