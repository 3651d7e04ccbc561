use super::*;

fn table(text: &str) -> Table {
    text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
}

fn debian() -> Accounts {
    Accounts {
        passwd: table(
            "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin",
        ),
        shadow: table("root:*:19700:0:99999:7:::\nwww-data:*:19700:0:99999:7:::"),
        group: table("root:x:0:\nadm:x:4:\nsudo:x:27:bob\nwww-data:x:33:"),
        gshadow: table("root:*::\nadm:*::\nsudo:*::bob\nwww-data:*::"),
    }
}

fn shown(accounts: &Accounts) -> String {
    let tables = [&accounts.passwd, &accounts.shadow, &accounts.group, &accounts.gshadow];
    let lines = tables.iter().flat_map(|table| table.iter());
    lines.map(|line| line.join(":") + "\n").collect()
}

#[test]
fn users_are_added_and_changed() {
    let mut accounts = debian();
    let alice = User {
        uid: Some(1000),
        groups: vec!["sudo".into(), "adm".into()],
        comment: Some("Alice".into()),
        password_hash: Some("$y$j9T$x".into()),
        ..User::default()
    };
    let home = accounts.add("alice", &alice, 86_400 * 20_000).unwrap();
    assert_eq!(home, Home { path: "/home/alice".into(), uid: 1000, gid: 1000 });
    let root = User { password_hash: Some("$6$y".into()), ..User::default() };
    assert_eq!(accounts.add("root", &root, 0).unwrap().path, "/root");
    let bot = User { uid: Some(999), gid: Some(33), home: Some("/srv".into()), ..User::default() };
    accounts.add("bot", &bot, 0).unwrap();
    insta::assert_snapshot!(shown(&accounts), @r"
    root:x:0:0:root:/root:/bin/bash
    www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
    alice:x:1000:1000:Alice:/home/alice:/bin/bash
    bot:x:999:33::/srv:/bin/bash
    root:$6$y:0:0:99999:7:::
    www-data:*:19700:0:99999:7:::
    alice:$y$j9T$x:20000:0:99999:7:::
    bot:*:0:0:99999:7:::
    root:x:0:
    adm:x:4:alice
    sudo:x:27:bob,alice
    www-data:x:33:
    alice:x:1000:
    root:*::
    adm:*::alice
    sudo:*::bob,alice
    www-data:*::
    alice:!::
    ");
    let before = shown(&accounts);
    accounts.add("alice", &alice, 86_400 * 20_000).unwrap();
    assert_eq!(shown(&accounts), before, "again changes nothing");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let new = || User { uid: Some(1000), ..User::default() };
    for (name, user, says) in [
        ("Alice", new(), "lower-case"),
        ("a:b", new(), "lower-case"),
        ("", new(), "lower-case"),
        ("alice", User::default(), "has no uid"),
        ("alice", User { uid: Some(33), ..User::default() }, "that of `www-data`"),
        ("root", new(), "its uid is 0 already"),
        ("alice", User { uid: Some(70_000), ..User::default() }, "65535"),
        ("alice", User { groups: vec!["none".into()], ..new() }, "no group `none`"),
        ("alice", User { shell: Some("/bin/sh:".into()), ..new() }, "colon"),
        ("alice", User { comment: Some("a\nroot::0:0".into()), ..new() }, "line's end"),
        ("alice", User { home: Some("/home/../etc".into()), ..new() }, "absolute path"),
        ("alice", User { shell: Some("bash".into()), ..new() }, "absolute path"),
        ("alice", User { ssh_keys: vec!["a\nb".into()], ..new() }, "one key"),
        ("adm", User { uid: Some(1000), ..User::default() }, "`adm` is that of 4"),
    ] {
        let why = debian().add(name, &user, 0).unwrap_err();
        assert!(why.contains(says), "{name}: {why}");
    }
}
