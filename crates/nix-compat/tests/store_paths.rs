//! Where each kind of store path is: known answers from Nix 2.34 (`nix-store --add-fixed`,
//! `nix store add --mode …`, `nix-instantiate`).
#![allow(missing_docs, clippy::disallowed_methods)]

use nix_compat::{
    ContentAddressMethod as Method, Derivation, HashAlgorithm, NixHash, StorePath, git_tree, hash,
    hash_bytes, nar, path,
};
use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// A tree with everything that a store can hold.
fn tree(dir: &Path) -> std::path::PathBuf {
    let tree = dir.join("t");
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    std::fs::write(tree.join("a"), "hi\n").unwrap();
    symlink("a", tree.join("l")).unwrap();
    std::fs::write(tree.join("sub/x"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(tree.join("sub/x"), PermissionsExt::from_mode(0o755)).unwrap();
    tree
}

fn fixed(name: &str, method: Method, hash: &NixHash) -> String {
    path::fixed_output(name, method, hash).unwrap().to_string()
}

#[test]
fn files_and_trees_by_every_method_and_algorithm() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree(dir.path());
    let algorithms =
        [HashAlgorithm::Sha256, HashAlgorithm::Sha1, HashAlgorithm::Md5, HashAlgorithm::Sha512];
    let flat =
        algorithms.map(|algorithm| fixed("f", Method::Flat, &hash_bytes(algorithm, b"hi\n")));
    let recursive = algorithms
        .map(|algorithm| fixed("t", Method::Nar, &nar::hash_path_with(algorithm, &tree).unwrap()));
    assert_eq!(
        flat,
        [
            "/nix/store/hrbblgbxbvz8al5a8l85i8giajyajiwj-f",
            "/nix/store/miyzd4rdj1idrrzcmmlphhh8g1m3npgb-f",
            "/nix/store/xbimgry92d3nikdz6pinaw4mxg8wh29p-f",
            "/nix/store/4iv2qk4p0fgdjkgh7pi5nz6svn06vkgx-f",
        ]
    );
    assert_eq!(
        recursive,
        [
            "/nix/store/4lmpsbsz2r2489dy9dr6cb0gf1b7pg7q-t",
            "/nix/store/v42dpax8j4n4d229pd5n5jf1320wjh68-t",
            "/nix/store/d5kyrvy4avgjfv45qaqy953c58n75hza-t",
            "/nix/store/4zf50xrf24imr59if05nciafd65zp7rd-t",
        ]
    );
    let file = hash::hash_reader(HashAlgorithm::Md5, &b"hi\n"[..]).unwrap();
    assert_eq!(file, hash_bytes(HashAlgorithm::Md5, b"hi\n"));
}

#[test]
fn files_and_trees_as_git_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree(dir.path());
    let at = |name: &str, algorithm, path: &Path| {
        fixed(name, Method::Git, &git_tree::hash_path(algorithm, path).unwrap())
    };
    assert_eq!(
        [HashAlgorithm::Sha1, HashAlgorithm::Sha256]
            .map(|algorithm| [at("t", algorithm, &tree), at("f", algorithm, &tree.join("a"))]),
        [
            [
                "/nix/store/cn0ik7mvpd5l35jqigbv7s8lmivh2f8w-t",
                "/nix/store/pc9n8l7laxzc819mqlkwd07b3j5jymdz-f"
            ],
            [
                "/nix/store/lgvsksij70gnpwsmjfx5q2927763vm8i-t",
                "/nix/store/m6is8ycgswmf2i7asga07wd6pg1zarps-f"
            ],
        ]
    );
}

#[test]
fn texts_with_and_without_references() {
    let plain = path::text("f", b"hi\n", &BTreeSet::new()).unwrap();
    assert_eq!(plain.to_string(), "/nix/store/pxlr4d0c269bdcgwycbry1yvqifv5knw-f");
    let contents = format!("see {plain}");
    let refers = path::text("refs", contents.as_bytes(), &BTreeSet::from([plain])).unwrap();
    assert_eq!(refers.to_string(), "/nix/store/hl858yqd9zyr9jwgclhhvn2yj8asci05-refs");
}

/// The path of a derivation whose inputs are sources: that of its text.
fn drv_path(derivation: &Derivation) -> StorePath {
    let name = format!("{}.drv", derivation.name());
    path::text(&name, &derivation.to_aterm_bytes(), derivation.input_sources()).unwrap()
}

#[test]
fn input_addressed_outputs_and_their_derivation() {
    let src: StorePath = "/nix/store/pxlr4d0c269bdcgwycbry1yvqifv5knw-f".parse().unwrap();
    let derivation = Derivation::new("ia", "x86_64-linux", "/bin/sh")
        .set("builder", "/bin/sh")
        .set("name", "ia")
        .set("system", "x86_64-linux")
        .set("outputs", "out dev")
        .set("src", src.to_string())
        .set("out", "")
        .set("dev", "")
        .input_source(src)
        .input_addressed_output("out")
        .input_addressed_output("dev")
        .build()
        .unwrap();
    let outputs = derivation.resolved_outputs().unwrap();
    let outputs = ["out", "dev"].map(|name| outputs[name].path.as_ref().unwrap().to_string());
    assert_eq!(
        outputs,
        [
            "/nix/store/nibvxijay18h28by97b2971w4cik3cdi-ia",
            "/nix/store/5x2ikqk93357ghd45lq277zdv3zkj40d-ia-dev"
        ]
    );
    let drv = drv_path(&derivation);
    assert_eq!(drv.to_string(), "/nix/store/fd5xl3x1pvjka5l9c66gmz0bvh22h7fy-ia.drv");
}

#[test]
fn floating_outputs_have_a_placeholder_until_they_are_built() {
    let text = br#"Derive([("out","","r:sha256","")],[],[],"x86_64-linux","/bin/sh",[],[("builder","/bin/sh"),("name","float"),("out","/1rz4g4znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9"),("outputHashAlgo","sha256"),("outputHashMode","recursive"),("system","x86_64-linux")])"#;
    let drv = path::text("float.drv", text, &BTreeSet::new()).unwrap();
    assert_eq!(drv.to_string(), "/nix/store/m4mdjjg8495vcjazrrfwnx4ijnsc86k3-float.drv");
    assert_eq!(
        path::hash_placeholder("out"),
        "/1rz4g4znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9"
    );
    assert_eq!(
        path::downstream_placeholder(&drv, &["out"]),
        "/193rczvchzn5jcbw14r1jmrm5dys4aw2knzm1cvqqn1ick9ybx77"
    );
}
