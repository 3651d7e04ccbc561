//! Which way is taken on which file system, and what it costs.

use crate::place::{MIB, Place, contents, name, on, scribble};
use hc_runtime::disk::{Disks, Method, Request, probe};

const XFS: &[&str] = &["mkfs.xfs", "-q"];
const XFS_WITHOUT: &[&str] = &["mkfs.xfs", "-q", "-m", "reflink=0"];
const BTRFS: &[&str] = &["mkfs.btrfs", "-q"];
const EXT4: &[&str] = &["mkfs.ext4", "-q"];

/// A fork reads as its image, and what is written to it is its own.
fn is_a_fork(place: &Place, method: Method) {
    let image = place.image("one", 16);
    let original = std::fs::read(&image.physical).unwrap();
    let (one, other) = (place.fork(&image, "one").unwrap(), place.fork(&image, "other").unwrap());
    assert_eq!((one.method, other.method), (method, method));
    assert!(contents(&one) == original, "it reads as its image");
    scribble(&one);
    assert!(contents(&one)[..512] == [0x5a; 512] && contents(&one)[512..] == original[512..]);
    assert!(contents(&other) == original && std::fs::read(&image.physical).unwrap() == original);
    // It is kept: asked for again, it is what the machine wrote.
    assert_eq!(place.fork(&image, "one").unwrap().path, one.path);
    assert_eq!(contents(&one)[0], 0x5a);
}

#[test]
fn blocks_of_the_store_are_shared_where_it_is_on_the_same_file_system() {
    for mkfs in [XFS, BTRFS] {
        on(mkfs, 512, |place| {
            let place = place.together();
            is_a_fork(&place, Method::Reflink);
            assert_eq!((place.copies.get(), place.bases().list().unwrap().len()), (0, 0));
            let image = place.image("large", 64);
            let before = place.free();
            for machine in ["a", "b", "c"] {
                place.fork(&image, machine).unwrap();
            }
            let taken = before.saturating_sub(place.free());
            assert!(taken < 16 * MIB, "three forks of 64 MiB took {taken} bytes");
            assert!(place.kept.borrow().is_empty(), "they need nothing of the store");
        });
    }
}

#[test]
fn one_copy_is_made_where_the_store_is_elsewhere() {
    for mkfs in [XFS, BTRFS] {
        on(mkfs, 512, |place| {
            is_a_fork(&place, Method::Reflink);
            assert_eq!(place.copies.get(), 1);
            let [base] = &place.bases().list().unwrap()[..] else { panic!("one base") };
            assert!((16 * MIB..24 * MIB).contains(&base.bytes), "holes are kept: {}", base.bytes);
            // With its image in the store it stays, and goes with it; forks stay.
            let image = place.image("one", 16);
            assert_eq!(place.gc(&[]), (0, 0));
            assert_eq!(place.gc(&[&image]), (0, 1));
            assert_eq!(place.bases().list().unwrap(), []);
            let disk = &place.disks().list().unwrap()[0];
            assert_eq!((contents(disk)[0], contents(disk)[512]), (0x5a, (512 % 251) as u8 + 3));
        });
    }
}

#[test]
fn overlays_are_made_where_blocks_cannot_be_shared() {
    for mkfs in [EXT4, XFS_WITHOUT] {
        on(mkfs, 512, |place| {
            is_a_fork(&place, Method::Overlay);
            assert_eq!(place.copies.get(), 0, "nothing is ever copied");
            let image = place.image("one", 16);
            assert_eq!(*place.kept.borrow(), [image.store_path()], "the store is told once");
            // The forks keep their image; the last of them to go frees it.
            assert_eq!(place.gc(&[&image]), (0, 0));
            for machine in ["one", "other"] {
                assert!(place.disks().remove(&name(machine), &name("root")).unwrap());
            }
            assert!(!place.disks().remove(&name("one"), &name("root")).unwrap());
            assert_eq!(place.gc(&[&image]), (1, 0));
            assert_eq!(place.bases().list().unwrap(), []);
            place.fork(&image, "again").unwrap();
            assert_eq!(place.kept.borrow().len(), 2, "and it is told again");
        });
    }
}

#[test]
fn files_that_are_not_copied_on_write_get_overlays() {
    on(BTRFS, 512, |place| {
        let place = place.together();
        std::fs::create_dir_all(place.state.join("machines")).unwrap();
        crate::place::run(
            std::process::Command::new("chattr").arg("+C").arg(place.state.join("machines")),
        );
        is_a_fork(&place, Method::Overlay);
    });
}

#[test]
fn the_probe_says_what_forks_then_do() {
    let found = |mkfs: &[&str], together: bool| {
        let mut said = String::new();
        on(mkfs, 512, |place| {
            let place = if together { place.together() } else { place };
            place.image("one", 1);
            std::fs::create_dir_all(&place.state).unwrap();
            let findings = probe(&place.state, &place.root.join("nix/store")).unwrap();
            let plan = hc_runtime::disk::plan(&findings).unwrap();
            assert_eq!(std::fs::read_dir(&place.state).unwrap().count(), 0, "it leaves nothing");
            let elsewhere = place.elsewhere.to_str().unwrap();
            said = format!("{:?} copies={} {:?}", plan.method, plan.copies, plan.passed_over)
                .replace(elsewhere, "");
        });
        said
    };
    insta::assert_snapshot!(found(XFS, true), @"Reflink copies=false []");
    insta::assert_snapshot!(found(BTRFS, false), @r#"Reflink copies=true ["blocks shared with the store: /mounted/state is on another file system"]"#);
    insta::assert_snapshot!(found(EXT4, false), @r#"Overlay copies=false ["blocks shared with the store: /mounted/state is on another file system", "blocks shared with one copy of the image: ext4 has no reflinks (/mounted/state); XFS and btrfs have"]"#);
    insta::assert_snapshot!(found(XFS_WITHOUT, true), @r#"Overlay copies=false ["blocks shared with the store: the XFS of /mounted/state was made without reflinks: make it with `mkfs.xfs -m reflink=1`", "blocks shared with one copy of the image: the XFS of /mounted/state was made without reflinks: make it with `mkfs.xfs -m reflink=1`"]"#);
}

#[test]
fn a_fork_of_another_image_is_replaced_only_when_asked() {
    for mkfs in [XFS, EXT4] {
        on(mkfs, 512, |place| {
            let (one, two) = (place.image("one", 4), place.image("three", 4));
            scribble(&place.fork(&one, "m").unwrap());
            let refused = place.fork(&two, "m").unwrap_err();
            assert!(refused.contains("is a fork of") && refused.contains("replace"), "{refused}");
            let (machine, disk) = (name("m"), name("root"));
            let request =
                Request { machine: &machine, disk: &disk, image: &two, size: None, replace: true };
            let made = place.fork_with(&request).unwrap();
            assert!(contents(&made) == std::fs::read(&two.physical).unwrap());
            assert_eq!(std::fs::read_dir(place.state.join("machines/m/disks")).unwrap().count(), 1);
            let (released, _) = place.gc(&[]);
            assert_eq!(
                released,
                usize::from(made.method == Method::Overlay),
                "the first one's image"
            );
        });
    }
}

#[test]
fn a_disk_may_be_larger_than_its_image_and_never_smaller() {
    for mkfs in [XFS, EXT4] {
        on(mkfs, 512, |place| {
            let image = place.image("one", 4);
            let (machine, disk) = (name("m"), name("data"));
            let sized = |size| {
                place.fork_with(&Request {
                    machine: &machine,
                    disk: &disk,
                    image: &image,
                    size: Some(size),
                    replace: false,
                })
            };
            assert!(sized(MIB).unwrap_err().contains("cutting it off loses data"));
            assert!(sized(u64::MAX).unwrap_err().contains("no disk has more"));
            let made = sized(100 * MIB + 1).unwrap();
            assert_eq!(made.size, 100 * MIB + 512);
            let read = contents(&made);
            let original = std::fs::read(&image.physical).unwrap();
            assert!(
                read[..original.len()] == original
                    && read[original.len()..].iter().all(|b| *b == 0)
            );
        });
    }
}

#[test]
fn a_full_file_system_is_said_and_left_as_it_was() {
    on(XFS, 300, |place| {
        let image = place.image("large", 400);
        let refused = place.fork(&image, "m").unwrap_err();
        assert!(refused.contains("no room") && refused.contains("hc gc"), "{refused}");
        assert_eq!(place.bases().list().unwrap(), []);
        assert_eq!(place.disks().list().unwrap(), []);
        place.fork(&place.image("small", 4), "m").unwrap();
    });
    on(EXT4, 32, |place| {
        let image = place.image("one", 4);
        place.fork(&image, "before").unwrap();
        let filler = place.state.join("filler");
        let mut full = std::fs::File::create(&filler).unwrap();
        while std::io::Write::write_all(&mut full, &[1; 4096]).is_ok() {}
        full.sync_all().unwrap();
        drop(full);
        let refused = place.fork(&image, "m").unwrap_err();
        assert!(refused.contains("no room"), "{refused}");
        assert_eq!(place.disks().list().unwrap().len(), 1);
        std::fs::remove_file(filler).unwrap();
        place.fork(&image, "m").unwrap();
    });
}

#[test]
fn an_image_that_is_gone_is_said() {
    on(EXT4, 32, |place| {
        let image = place.image("one", 1);
        std::fs::remove_file(&image.physical).unwrap();
        assert!(place.fork(&image, "m").unwrap_err().contains("not in the store any more"));
        assert_eq!(Disks::new(&place.state).list().unwrap(), []);
    });
}

#[test]
fn a_fork_that_a_power_cut_left_empty_is_made_again() {
    for mkfs in [XFS, EXT4] {
        on(mkfs, 512, |place| {
            let image = place.image("one", 4);
            let disk = place.fork(&image, "m").unwrap();
            // Its name was on disk before what is in it: nothing of a machine's was flushed yet.
            std::fs::OpenOptions::new().write(true).open(&disk.path).unwrap().set_len(0).unwrap();
            assert_eq!(place.disks().list().unwrap(), []);
            let again = place.fork(&image, "m").unwrap();
            assert!(contents(&again) == std::fs::read(&image.physical).unwrap());
            // What a machine has flushed is never taken for that.
            scribble(&again);
            assert_eq!(contents(&place.fork(&image, "m").unwrap())[0], 0x5a);
        });
    }
}
