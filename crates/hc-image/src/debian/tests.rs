use super::*;

/// An archive in memory.
fn archive(lists: &[(&str, &str)]) -> impl Fn(&str) -> std::io::Result<Vec<u8>> + use<> {
    let mut files = BTreeMap::new();
    for (suite, list) in lists {
        let packed = liblzma::encode_all(list.as_bytes(), 1).unwrap();
        let release = format!(
            "Suite: {suite}\nDate: Sat, 12 Sep 2026 07:55:41 UTC\nSHA256:\n {} {} main/binary-amd64/Packages.xz\n",
            sha256_hex(&packed),
            packed.len()
        );
        let base = format!("http://deb.debian.org/debian/dists/{suite}");
        files.insert(format!("{base}/InRelease"), release.into_bytes());
        files.insert(format!("{base}/main/binary-amd64/Packages.xz"), packed);
    }
    move |url| files.get(url).cloned().ok_or_else(|| std::io::Error::other("404 Not Found"))
}

fn package(name: &str, version: &str, more: &str) -> String {
    let file = version.replace(':', "%3a");
    format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\n{more}Filename: pool/main/{name}_{file}_amd64.deb\nSize: 10\nSHA256: {}\n\n",
        "0".repeat(64)
    )
}

fn request(suites: &[&str], packages: &[&str]) -> LockRequest {
    LockRequest {
        sources: suites.iter().map(|s| Source::debian(s)).collect(),
        arch: "amd64".into(),
        packages: packages.iter().map(ToString::to_string).collect(),
        required: false,
        signature: Signature::Insecure,
    }
}

fn names(lock: &Lock) -> String {
    lock.packages.iter().map(|p| format!("{}={}", p.name, p.version)).collect::<Vec<_>>().join(" ")
}

#[test]
fn depends_alternatives_providers_and_versions() {
    let list = [
        package("base", "1", "Essential: yes\nPre-Depends: awk\n"),
        package("gawk", "1", "Provides: awk\n"),
        package("mawk", "1", "Provides: awk\n"),
        package("web", "1:2.0~rc1", "Depends: lib (>= 1.5), conf (>= 0.5) | conf-2.0, abi-3\n"),
        package("lib", "1.10", "Provides: abi-3 (= 7)\n"),
        package("conf", "0.4", ""),
        package("cconf", "9", "Provides: conf-2.0\n"),
        package("unused", "1", "Recommends: lib\n"),
    ]
    .concat();
    let newer = package("lib", "1.10+deb13u1", "Provides: abi-3 (= 7)\n");
    let fetch = archive(&[("trixie", &list), ("trixie-updates", &newer)]);
    let lock = lock(&request(&["trixie", "trixie-updates"], &["web", "mawk"]), &fetch).unwrap();
    assert_eq!(names(&lock), "base=1 cconf=9 lib=1.10+deb13u1 mawk=1 web=1:2.0~rc1");
    let web = lock.packages.last().unwrap();
    assert_eq!(web.file, "web_1-2.0-rc1_amd64.deb");
    assert_eq!(
        web.urls[1],
        "http://snapshot.debian.org/archive/debian/20260913T075541Z/pool/main/web_1%3a2.0~rc1_amd64.deb"
    );
    assert_eq!(Lock::from_json(&lock.to_json()).unwrap(), lock);
    assert_eq!(super::lock(&lock.request(Signature::Insecure), &fetch).unwrap(), lock);
}

#[test]
fn what_does_not_fit_is_told_all_at_once() {
    let list = [
        package("aa", "1", "Depends: bb (>= 2), cc | dd\nConflicts: ee\n"),
        package("bb", "1", ""),
        package("ee", "1", ""),
    ]
    .concat();
    let error = lock(&request(&["trixie"], &["aa", "ee", "ff"]), &archive(&[("trixie", &list)]));
    insta::assert_snapshot!(error.unwrap_err(), @r"
    cannot resolve the packages:
      there is no package `ff`; check its name
      aa needs bb (>= 2): not in the archive
      aa needs cc | dd: not in the archive
      aa excludes ee, which is ee 1
    ");
}

#[test]
fn lists_must_be_what_the_signed_release_says() {
    let good = archive(&[("trixie", &package("aa", "1", "Essential: yes\n"))]);
    let changed = |url: &str| {
        let mut bytes = good(url)?;
        if url.ends_with(".xz") {
            bytes[30] ^= 1;
        }
        Ok(bytes)
    };
    let message = lock(&request(&["trixie"], &[]), &changed).unwrap_err().to_string();
    assert!(message.contains("its SHA-256 is"), "{message}");
    let message = lock(&request(&["sid"], &[]), &good).unwrap_err().to_string();
    assert_eq!(
        message,
        "http://deb.debian.org/debian/dists/sid/InRelease: not fetched: 404 Not Found"
    );
    let mut signed = request(&["trixie"], &[]);
    signed.signature = Signature::debian();
    let message = lock(&signed, &good).unwrap_err().to_string();
    assert!(message.contains("its signature is not good"), "{message}");
    let Signature::Keys { keyrings, .. } = &mut signed.signature else { unreachable!() };
    keyrings[0] = "/nonexistent.gpg".into();
    let message = lock(&signed, &good).unwrap_err().to_string();
    assert!(message.contains("install the package debian-archive-keyring"), "{message}");
    let hostile = package("aa", "1", "").replace("pool/main", "../../etc");
    let message = lock(&request(&["trixie"], &[]), &archive(&[("trixie", &hostile)])).unwrap_err();
    assert!(message.to_string().contains("not a path in the archive"), "{message}");
}

#[test]
fn a_clear_signed_text_is_stripped() {
    let text = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nA: b\n-----BEGIN PGP SIGNATURE-----\nx\n";
    assert_eq!(Signature::Insecure.verify(text, "u").unwrap(), "A: b\n");
}

#[test]
fn the_lock_of_this_repository_is_one() {
    let text = include_str!("../../../../images/debian.lock.json");
    let lock = Lock::from_json(text).unwrap();
    assert_eq!(lock.to_json(), text, "write it again with `hc image lock`");
    for package in &lock.packages {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"+-._?=".contains(&b);
        assert!(package.file.bytes().all(legal) && !package.file.starts_with('.'), "{package:?}");
        assert_eq!((package.urls.len(), package.sha256.len()), (2, 64), "{package:?}");
    }
}
