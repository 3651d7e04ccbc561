use super::super::mounted::Mounted;
use super::*;
use std::io::Write;

fn slot(dir: &Path, memory: u64) -> Slot {
    let vm = Vm {
        kernel: "/nix/store/k/vmlinux".into(),
        initrd: "/nix/store/i/initrd".into(),
        memory,
        vcpus: 1,
        layer_size: 1 << 30,
        kernel_params: Vec::new(),
        resume: true,
        balloon: None,
    };
    let like = Likeness {
        qemu: Path::new("/proc/self/exe"),
        accelerator: &Accelerator::of(Kind::Tcg),
        vm: &vm,
        image: Path::new("/nix/store/r/rootfs.erofs"),
        disks: vec![(1 << 30, false)],
        networks: 1,
        words: &[],
    };
    Slot::of(dir, &like).unwrap()
}

fn save(slot: &Slot, ram: &Path) {
    let saving = slot.begin().unwrap();
    (&saving.state).write_all(b"devices").unwrap();
    saving.copy(ram).unwrap();
    assert!(slot.find().is_err(), "not before it is whole");
    saving.finish(false).unwrap();
}

#[test]
fn is_found_when_it_is_whole_and_like() {
    let dir = tempfile::tempdir().unwrap();
    let ram = dir.path().join("ram");
    hc_fs::plain::write(&ram, &vec![7; 1 << 20], 0o600).unwrap();
    let one = slot(dir.path(), 1 << 28);
    assert!(one.find().is_err());
    save(&one, &ram);
    assert!(one.find().is_ok() && one.verify());
    assert!(slot(dir.path(), 1 << 29).find().is_err(), "another computer");
    assert_eq!(std::fs::read(one.ram()).unwrap(), vec![7; 1 << 20]);
    hc_fs::plain::write(&one.dir.join("state"), b"Devices", 0o600).unwrap();
    assert!(one.find().is_err(), "it was changed");
    save(&one, &ram);
    assert!(one.find().is_ok(), "it was made anew");
    hc_fs::plain::append(&one.ram(), 0o600).unwrap().write_all(b"x").unwrap();
    assert!(one.find().is_err(), "its memory was changed");
    save(&one, &ram);
    let times = one.ram().metadata().unwrap().modified().unwrap();
    let file = rustix::fs::open(one.ram(), OFlags::WRONLY, Mode::empty());
    let file = File::from(file.unwrap());
    std::os::unix::fs::FileExt::write_all_at(&file, b"x", 4096).unwrap();
    file.set_modified(times).unwrap();
    assert!(one.find().is_ok() && !one.verify(), "and that is seen where it is read");
}

#[test]
fn goes_with_what_it_was_made_from() {
    let dir = tempfile::tempdir().unwrap();
    let ram = dir.path().join("ram");
    hc_fs::plain::write(&ram, b"x", 0o600).unwrap();
    let one = slot(dir.path(), 1 << 28);
    save(&one, &ram);
    let unfinished = one.dir.with_extension("2147483646");
    hc_fs::plain::create_dir_all(&unfinished, 0o700).unwrap();
    let busy = slot(dir.path(), 1 << 29).begin().unwrap();
    let all = |_: &Path| true;
    let gone = collect(dir.path(), &all, false).unwrap();
    assert_eq!(gone.into_iter().map(|gone| gone.path).collect::<Vec<_>>(), [unfinished]);
    let kernel = |file: &Path| !file.ends_with("vmlinux");
    assert_eq!(collect(dir.path(), &kernel, true).unwrap().len(), 1);
    assert!(one.find().is_ok() && one.verify());
    assert_eq!(collect(dir.path(), &kernel, false).unwrap()[0].path, one.dir);
    assert!(one.find().is_err() && busy.aside.exists());
}

#[test]
fn a_layer_belongs_to_the_memory_that_has_it_mounted() {
    let dir = tempfile::tempdir().unwrap();
    let [ram, disk] = ["ram", "disk"].map(|name| dir.path().join(name));
    let one = slot(dir.path(), 1 << 28);
    let mount = |contents: &[u8]| {
        hc_fs::plain::write(&ram, contents, 0o600).unwrap();
        hc_fs::plain::write(&disk, contents, 0o600).unwrap();
        let mut saving = one.mounted().begin().unwrap();
        saving.layer = Some(disk.clone());
        (&saving.state).write_all(contents).unwrap();
        saving.copy(&ram).unwrap();
        saving.finish(false).unwrap();
    };
    assert!(Mounted::of(&one).is_none());
    mount(b"first");
    let first = Mounted::of(&one).unwrap();
    assert_eq!(std::fs::read(first.layer()).unwrap(), b"first");
    assert!(first.state().is_some() && one.mounted().verify());
    assert!(one.find().is_err(), "what waits for its disk is another");
    one.mounted().discard().unwrap();
    assert!(first.state().is_none());
    mount(b"other");
    assert!(first.state().is_none(), "a copy of the first's layer is not the other's");
    let layer = Mounted::of(&one).unwrap().layer();
    let times = layer.metadata().unwrap().modified().unwrap();
    let file = rustix::fs::open(&layer, OFlags::WRONLY, Mode::empty());
    let file = File::from(file.unwrap());
    std::os::unix::fs::FileExt::write_all_at(&file, b"x", 0).unwrap();
    file.set_modified(times).unwrap();
    assert!(one.mounted().find().is_ok() && !one.mounted().verify());
    file.set_modified(times + std::time::Duration::from_secs(1)).unwrap();
    assert!(Mounted::of(&one).is_none());
}

#[test]
fn what_a_guest_cannot_do_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let ram = dir.path().join("ram");
    hc_fs::plain::write(&ram, b"x", 0o600).unwrap();
    let one = slot(dir.path(), 1 << 28);
    assert!(one.may_mount());
    save(&one, &ram);
    assert!(one.may_mount());
    let saving = one.begin().unwrap();
    saving.copy(&ram).unwrap();
    saving.finish(true).unwrap();
    assert!(!one.may_mount());
}
