//! Roots as subvolumes: copied once, exactly.

use crate::place::{digest, on};

#[test]
fn a_subvolume_has_everything_that_the_image_has() {
    on(&["mkfs.btrfs", "-q"], 512, |place| {
        let (image, tree) = place.root_image();
        let base = place.bases().make_root(&image, &|_| ()).unwrap();
        assert_eq!(digest(&base), digest(&tree));
        let [found] = &place.bases().list().unwrap()[..] else { panic!("one base") };
        assert_eq!(found.root.as_ref(), Some(&base));
        assert!(found.bytes > 300_000, "{found:?}");
        // It goes with its image.
        assert_eq!(place.gc(&[]), (0, 0));
        assert_eq!(place.gc(&[&image]), (0, 1));
        assert!(!base.exists() && place.bases().list().unwrap().is_empty());
    });
}

#[test]
fn only_btrfs_has_them() {
    on(&["mkfs.ext4", "-q"], 64, |place| {
        let (image, _) = place.root_image();
        let refused = place.bases().make_root(&image, &|_| ()).unwrap_err().to_string();
        assert!(refused.contains("only btrfs has snapshots"), "{refused}");
        assert!(place.bases().list().unwrap().is_empty());
    });
}

#[test]
fn a_full_file_system_is_said_and_left_as_it_was() {
    on(&["mkfs.btrfs", "-q"], 128, |place| {
        let (image, tree) = place.root_image();
        let large = std::fs::File::create(tree.join("larger")).unwrap();
        let mut noise =
            std::io::Read::take(std::fs::File::open("/dev/urandom").unwrap(), 200 << 20);
        std::io::copy(&mut noise, &mut &large).unwrap();
        crate::place::run(
            std::process::Command::new("mkfs.erofs").arg("--quiet").args([&image.physical, &tree]),
        );
        let refused = place.bases().make_root(&image, &|_| ()).unwrap_err().to_string();
        assert!(refused.contains("no room"), "{refused}");
        assert!(place.bases().list().unwrap().is_empty());
    });
}

#[test]
fn a_tree_goes_with_the_subvolumes_in_it() {
    on(&["mkfs.btrfs", "-q"], 512, |place| {
        let (image, _) = place.root_image();
        let base = place.bases().make_root(&image, &|_| ()).unwrap();
        for inside in [&base, &base.join("dir/deep")] {
            let subvolume = inside.join("inner");
            crate::place::run(
                std::process::Command::new("btrfs").args(["subvolume", "create"]).arg(&subvolume),
            );
            std::fs::create_dir_all(subvolume.join("a/b/c/d")).unwrap();
            std::fs::write(subvolume.join("a/b/c/file"), "x").unwrap();
        }
        hc_fs::tree::remove(&place.state).unwrap();
        assert!(!place.state.exists());
    });
}
