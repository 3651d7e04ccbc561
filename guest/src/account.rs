//! Users and groups as the image knows them.

use crate::sys;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Shells of images in the order in which people like them; the first may not be where `/etc/passwd`
/// says.
pub const SHELLS: [&str; 7] = [
    "/bin/bash",
    "/usr/bin/bash",
    "/run/current-system/sw/bin/bash",
    "/bin/zsh",
    "/bin/ash",
    "/bin/sh",
    "/bin/busybox",
];

/// Who a program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Number of the user.
    pub uid: u32,
    /// Number of its group.
    pub gid: u32,
    /// Numbers of all groups, that one too.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: String,
    /// Name in `/etc/passwd`, the wanted one when it is not there.
    pub name: String,
    /// Login shell, empty when none is named.
    pub shell: String,
}

/// Looks `user` up in the image: a name or a number, with `:` and a group after it or not.
///
/// # Errors
/// A sentence on who is not there.
pub fn of_image(user: &str) -> Result<Account, String> {
    let text = |path| {
        sys::read(path).map_or_else(|_| String::new(), |t| String::from_utf8_lossy(&t).into_owned())
    };
    resolve(&text("/etc/passwd"), &text("/etc/group"), user)
}

fn resolve(passwd: &str, group: &str, wanted: &str) -> Result<Account, String> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number != u32::MAX);
    let (user, wanted_group) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (wanted, None),
    };
    let uid = number(user);
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.len() >= 6 && (fields[0] == user || uid.is_some() && number(fields[2]) == uid)
    });
    let known = entry
        .as_ref()
        .and_then(|fields| Some((fields[0], number(fields[2])?, number(fields[3])?, fields[5])));
    let shell = entry.as_ref().and_then(|fields| fields.get(6)).map_or("", |shell| shell.trim());
    let (name, uid, gid, home) = match (known, uid) {
        (Some(known), _) => known,
        (None, Some(uid)) => ("", uid, 0, "/"),
        (None, None) if user == "root" => ("root", 0, 0, "/root"),
        (None, None) => {
            return Err(format!("user '{user}' does not exist in the image's /etc/passwd"));
        }
    };
    let groups = || {
        group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (name, gid) = (fields.next()?, number(fields.nth(1)?)?);
            Some((name, gid, fields.next().unwrap_or("")))
        })
    };
    let (gid, mut all) = match wanted_group {
        None => {
            let member = |list: &str| !name.is_empty() && list.split(',').any(|m| m == name);
            let of = groups().filter(|(_, _, list)| member(list)).map(|(_, gid, _)| gid);
            (gid, of.collect::<Vec<u32>>())
        }
        Some(wanted) => {
            let by_name = groups().find(|(name, ..)| *name == wanted).map(|(_, gid, _)| gid);
            let gid = by_name.or_else(|| number(wanted)).ok_or_else(|| {
                format!("group '{wanted}' does not exist in the image's /etc/group")
            })?;
            (gid, Vec::new())
        }
    };
    all.push(gid);
    all.sort_unstable();
    all.dedup();
    let home = if home.starts_with('/') { home } else { "/" };
    let name = if name.is_empty() { user } else { name };
    Ok(Account { uid, gid, groups: all, home: home.into(), name: name.into(), shell: shell.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nrubbish\nweb:x:33:33::/var/www:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nwww:x:33:\nlog:x:4:web,other\nadm:x:5:other\n";

    #[test]
    fn names_numbers_and_groups() {
        let account = |uid, gid, groups: &[u32], home: &str| {
            let (name, shell) = match uid {
                0 => ("root", "/bin/sh"),
                33 => ("web", "/bin/sh"),
                _ => ("1000", ""),
            };
            let (home, name, shell) = (home.into(), name.into(), shell.into());
            Account { uid, gid, groups: groups.into(), home, name, shell }
        };
        for (wanted, expected) in [
            ("root", account(0, 0, &[0], "/root")),
            ("web", account(33, 33, &[4, 33], "/var/www")),
            ("33", account(33, 33, &[4, 33], "/var/www")),
            ("33:adm", account(33, 5, &[5], "/var/www")),
            ("1000:77", account(1000, 77, &[77], "/")),
            ("1000", account(1000, 0, &[0], "/")),
        ] {
            assert_eq!(resolve(PASSWD, GROUP, wanted).unwrap(), expected, "{wanted}");
        }
        let bare = Account { shell: String::new(), ..account(0, 0, &[0], "/root") };
        assert_eq!(resolve("", "", "root").unwrap(), bare);
        for wanted in ["nobody", "web:none", "4294967295", "-1", ""] {
            let said = resolve(PASSWD, GROUP, wanted).unwrap_err();
            assert!(said.contains("does not exist in the image"), "{said}");
        }
    }
}
