//! The root a machine has: fork, files, identity.

use crate::place::{Place, make_image};
use hc_runtime::Phase;
use serde_json::json;
use std::os::unix::fs::{MetadataExt, symlink};

#[test]
fn what_is_written_lies_in_the_fork_with_the_ids_of_the_machine() {
    let mut place = Place::new();
    let script = "echo data > /var.txt; chown 1000:1001 /var.txt; mkdir /d; chmod 2750 /d; \
                  mv /home /moved && ls /moved; stat -c %u:%g /moved/web";
    let ended = place.run(script, &json!({}));
    assert_eq!(ended.out(), "web\n1000:1001\n", "{:?}", ended.lines);
    let upper = place.places().fork().join("upper");
    let file = upper.join("var.txt").metadata().unwrap();
    assert_eq!((file.uid(), file.gid()), (1000, 1001));
    let dir = upper.join("d").metadata().unwrap();
    assert_eq!((dir.uid(), dir.gid(), dir.mode() & 0o7777), (0, 0, 0o2750));
}

#[test]
fn a_fork_lives_as_long_as_its_closure() {
    let mut place = Place::new();
    assert_eq!(place.run("echo one > /kept; cat /kept", &json!({})).out(), "one\n");
    assert_eq!(place.run("cat /kept", &json!({})).out(), "one\none\n");
    let other = place.closure_named("other.json", "cat /kept || echo gone", &json!({}));
    assert!(place.command(&other).status().unwrap().success());
    let ended = place.run("true", &json!({}));
    assert!(ended.out().ends_with("gone\n"), "{}", ended.out());
    let left = std::fs::read_dir(place.places().state).unwrap().count();
    assert_eq!(left, 3, "fork, closure and log");
}

#[test]
fn files_are_laid_with_their_modes() {
    let place = &mut Place::new();
    let source = place.dir.path().join("store-file");
    std::fs::write(&source, "from the store\n").unwrap();
    let more = json!({"files": {
        "/etc/secret": {"text": "s3cret\n", "mode": "0400"},
        "/opt/deep/tool": {"source": source, "mode": "0755"},
        "/run/early": {"text": "in a tmpfs\n"},
        "/etc/hosts": {"text": "mine\n"},
    }});
    let script = "cat /etc/secret /opt/deep/tool /run/early /etc/hosts /etc/hostname; \
                  stat -c '%a %u:%g' /etc/secret /opt/deep/tool /run/early /opt/deep; hostname";
    let ended = place.run(script, &more);
    assert_eq!(
        ended.out(),
        "s3cret\nfrom the store\nin a tmpfs\nmine\nweb\n400 0:0\n755 0:0\n644 0:0\n755 0:0\nweb\n",
        "{}",
        ended.stderr
    );
    let secret = place.places().fork().join("upper/etc/secret").metadata().unwrap();
    assert_eq!((secret.uid(), secret.mode() & 0o7777), (0, 0o400));
}

#[test]
fn symlinks_of_an_image_lead_nowhere_outside() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let image = make_image(dir.path(), |tree| {
        symlink(&outside, tree.join("absolute")).unwrap();
        symlink("../../../../../../..", tree.join("up")).unwrap();
        symlink(outside.join("resolv"), tree.join("etc/resolv.conf")).unwrap();
        symlink("/proc/1/root", tree.join("magic")).unwrap();
    });
    let mut place = Place::with_image(image);
    let inner = format!("/up{}/inner", outside.display());
    let more = json!({"files": {inner: {"text": "inside\n"}}});
    let ended = place.run(
        &format!("cat {}/inner; test -L /etc/resolv.conf || echo file", outside.display()),
        &more,
    );
    assert_eq!(ended.out(), "inside\nfile\n", "{}", ended.stderr);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    for path in ["/absolute/x", "/magic/x"] {
        let ended = place.run("true", &json!({"files": {path: {"text": ""}}}));
        assert!(path == "/absolute/x" || ended.status.phase == Phase::Failed, "{path}");
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn mount_points_that_are_symlinks_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = make_image(dir.path(), |tree| {
        std::fs::remove_dir(tree.join("dev")).unwrap();
        symlink("/tmp", tree.join("dev")).unwrap();
    });
    let ended = Place::with_image(image).run("true", &json!({}));
    let error = ended.status.exit.and_then(|exit| exit.error).unwrap();
    assert!(error.contains("use /dev of the image") && error.contains("not symlinks"), "{error}");
}

#[test]
fn a_read_only_root_is_read_only_and_still_has_its_files() {
    let more = json!({
        "isolation": {"readOnlyRoot": true}, "files": {"/etc/x": {"text": "laid\n"}},
    });
    let ended =
        Place::new().run("cat /etc/x; echo y > /etc/x; echo z > /run/z && cat /run/z", &more);
    assert_eq!(ended.out(), "laid\nz\n");
    assert!(ended.stream(hc_runtime::logs::Stream::Err).contains("Read-only file system"));
}

#[test]
fn resolver_and_hosts_follow_from_the_network() {
    let more = json!({"networks": ["lan"]});
    let ended = Place::new().run("cat /etc/resolv.conf; grep web /etc/hosts", &more);
    assert_eq!(
        ended.out(),
        "nameserver fd05:e5f6:4670:88b9::1\nsearch lan.demo.demo.internal\n\
         fd05:e5f6:4670:88b9:daa:f3e6:5963:6eb5 web.lan.demo.demo.internal web\n",
    );
}

#[test]
fn set_user_id_programs_give_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let image = make_image(dir.path(), |tree| {
        std::fs::copy(tree.join("bin/busybox"), tree.join("usr/bin/id")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o4755);
        std::fs::set_permissions(tree.join("usr/bin/id"), mode).unwrap();
    });
    let ended = Place::with_image(image).run("/usr/bin/id -u", &json!({"user": "web"}));
    assert_eq!(ended.out(), "1000\n", "{}", ended.stderr);
}
