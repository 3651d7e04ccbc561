//! Users and groups as the image knows them.

use crate::error::{Problem, Res};
use std::os::fd::BorrowedFd;

/// Who a program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub home: String,
    /// Name in `/etc/passwd`, the wanted one when it is not there.
    pub name: String,
    /// Login shell, empty when none is named.
    pub shell: String,
}

/// Looks `user` up in the image: a name or a number, with `:` and a group after it or not.
pub(crate) fn of_image(root: BorrowedFd<'_>, user: &str) -> Res<Account> {
    let passwd = super::files::read(root, "/etc/passwd")?;
    let group = super::files::read(root, "/etc/group")?;
    resolve(&String::from_utf8_lossy(&passwd), &String::from_utf8_lossy(&group), user)
}

fn resolve(passwd: &str, group: &str, wanted: &str) -> Res<Account> {
    let (user, wanted_group) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (wanted, None),
    };
    let number: Option<u32> = user.parse().ok().filter(|uid| *uid < crate::ids::COUNT);
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.len() >= 6
            && (fields[0] == user || number.is_some() && fields[2].parse().ok() == number)
    });
    let known = entry.as_ref().and_then(|fields| {
        Some((fields[0], fields[2].parse().ok()?, fields[3].parse().ok()?, fields[5]))
    });
    let shell = entry.as_ref().and_then(|fields| fields.get(6)).map_or("", |shell| shell.trim());
    let (name, uid, gid, home) = match (known, number) {
        (Some((name, uid, gid, home)), _) => (name, uid, gid, home),
        (None, Some(uid)) => ("", uid, 0, "/"),
        (None, None) if user == "root" => ("root", 0, 0, "/root"),
        (None, None) => {
            return Err(Problem::plain(format!(
                "user '{user}' does not exist in the image's /etc/passwd"
            )));
        }
    };
    let groups = || {
        group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (name, gid) = (fields.next()?, fields.nth(1)?.parse::<u32>().ok()?);
            Some((name, gid, fields.next().unwrap_or("")))
        })
    };
    let (gid, mut all) = match wanted_group {
        None => {
            let member = |list: &str| !name.is_empty() && list.split(',').any(|m| m == name);
            (gid, groups().filter(|(_, _, list)| member(list)).map(|(_, gid, _)| gid).collect())
        }
        Some(wanted) => {
            let by_name = groups().find(|(name, ..)| *name == wanted).map(|(_, gid, _)| gid);
            let by_number = || wanted.parse().ok().filter(|gid| *gid < crate::ids::COUNT);
            let gid = by_name.or_else(by_number).ok_or_else(|| {
                Problem::plain(format!("group '{wanted}' does not exist in the image's /etc/group"))
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

    fn account(uid: u32, gid: u32, groups: &[u32], home: &str) -> Account {
        let (name, shell) = match uid {
            0 => ("root", "/bin/sh"),
            33 => ("web", "/bin/sh"),
            _ => ("1000", ""),
        };
        let (name, shell) = (name.into(), shell.into());
        Account { uid, gid, groups: groups.into(), home: home.into(), name, shell }
    }

    #[test]
    fn names_numbers_and_groups() {
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
        for wanted in ["nobody", "web:none", "70000", "-1", ""] {
            let message = resolve(PASSWD, GROUP, wanted).unwrap_err().to_string();
            assert!(message.contains("does not exist in the image"), "{message}");
        }
    }
}
