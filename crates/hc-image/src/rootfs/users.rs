//! Users of an image besides those that its packages make.

use super::unpack::{Owner, directory_at, write_in};
use crate::error::{Context, Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// One user, by name in [`super::Request::users`]. What is not said of one that a package made
/// already stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct User {
    /// Its number; one that is new has to have one.
    pub uid: Option<u32>,
    /// The number of its own group, the uid where not given. A group without a name gets the user's.
    pub gid: Option<u32>,
    /// Names of other groups it is in.
    pub groups: Vec<String>,
    /// Its home directory, which is made; `/home/NAME` where not given.
    pub home: Option<String>,
    /// Its login shell, `/bin/bash` where not given.
    pub shell: Option<String>,
    /// Its full name.
    pub comment: Option<String>,
    /// Lines of `~/.ssh/authorized_keys`.
    pub ssh_keys: Vec<String>,
    /// Its password as crypt(5) hashes it; without one no password opens the account.
    pub password_hash: Option<String>,
}

/// The four files, as lines of fields.
#[derive(Debug, Default, PartialEq, Eq)]
struct Accounts {
    passwd: Table,
    shadow: Table,
    group: Table,
    gshadow: Table,
}

type Table = Vec<Vec<String>>;

const FILES: [(&str, u32); 4] =
    [("etc/passwd", 0o644), ("etc/shadow", 0o640), ("etc/group", 0o644), ("etc/gshadow", 0o640)];
/// Debian's group of those who read `/etc/shadow`.
const SHADOW: u32 = 42;
/// What new homes begin with.
const SKELETON: &str = "etc/skel";

fn wrong(name: &str, why: impl std::fmt::Display) -> Error {
    Error::Attribute { name: "users".into(), why: format!("has `{name}`: {why}") }
}

/// Adds and changes users of the system in `root`, and makes their homes.
pub(super) fn add(root: &Path, users: &BTreeMap<String, User>, epoch: i64) -> Result<()> {
    if users.is_empty() {
        return Ok(());
    }
    let [passwd, shadow, group, gshadow] = FILES.map(|(file, _)| read(root, file));
    let mut accounts =
        Accounts { passwd: passwd?, shadow: shadow?, group: group?, gshadow: gshadow? };
    for (name, user) in users {
        let home = accounts.add(name, user, epoch).map_err(|why| wrong(name, why))?;
        make_home(root, user, &home).map_err(|why| wrong(name, why))?;
    }
    let tables = [&accounts.passwd, &accounts.shadow, &accounts.group, &accounts.gshadow];
    for ((file, mode), table) in FILES.iter().zip(tables) {
        let gid = if mode & 0o004 == 0 { SHADOW } else { 0 };
        let owner = Owner { uid: 0, gid, mode: *mode };
        let text: String = table.iter().map(|line| line.join(":") + "\n").collect();
        write_in(root, Path::new(file), &mut text.as_bytes(), owner)
            .map_err(|why| Error::Tree { path: format!("/{file}"), why })?;
    }
    Ok(())
}

fn read(root: &Path, file: &str) -> Result<Table> {
    let path = root.join(file);
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Table::new()),
        Ok(found) if !found.is_file() => {
            let why = "a package put something else than a file here".into();
            return Err(Error::Tree { path: format!("/{file}"), why });
        }
        Err(error) => return Err(error).on("look at", &path),
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(&path).on("read", &path)?;
    Ok(text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect())
}

/// Where a user lives, and the numbers of who lives there.
#[derive(Debug, PartialEq, Eq)]
struct Home {
    path: String,
    uid: u32,
    gid: u32,
}

fn line_of<'a>(table: &'a mut Table, name: &str) -> Option<&'a mut Vec<String>> {
    table.iter_mut().find(|line| line[0] == name)
}

fn number(line: &[String], field: usize) -> Option<u32> {
    line.get(field)?.parse().ok()
}

impl Accounts {
    fn add(&mut self, name: &str, user: &User, epoch: i64) -> Result<Home, String> {
        check(name, user)?;
        let known =
            line_of(&mut self.passwd, name).filter(|line| line.len() == 7).map(|l| l.clone());
        let old = |field: usize| known.as_ref().map(|line| line[field].clone());
        let uid = match (user.uid, known.as_ref().and_then(|line| number(line, 2))) {
            (Some(new), Some(old)) if new != old => {
                return Err(format!("its uid is {old} already, not {new}"));
            }
            (Some(uid), _) | (None, Some(uid)) => uid,
            (None, None) => return Err("it is new and has no uid".into()),
        };
        let taken = self.passwd.iter().find(|l| l[0] != name && number(l, 2) == Some(uid));
        if let Some(other) = taken {
            return Err(format!("its uid {uid} is that of `{}` already", other[0]));
        }
        let gid = user.gid.or_else(|| number(known.as_ref()?, 3)).unwrap_or(uid);
        self.own_group(name, gid)?;
        let or = |given: &Option<String>, field, usual: &str| {
            given.clone().or_else(|| old(field)).unwrap_or_else(|| usual.to_owned())
        };
        let home = or(&user.home, 5, &format!("/home/{name}"));
        let line = vec![
            name.to_owned(),
            "x".to_owned(),
            uid.to_string(),
            gid.to_string(),
            or(&user.comment, 4, ""),
            home.clone(),
            or(&user.shell, 6, "/bin/bash"),
        ];
        match line_of(&mut self.passwd, name) {
            Some(old) => *old = line,
            None => self.passwd.push(line),
        }
        self.password(name, user, epoch);
        for group in &user.groups {
            let line = line_of(&mut self.group, group).filter(|line| line.len() == 4);
            join(
                line.ok_or(format!("there is no group `{group}`: a package has to make it"))?,
                name,
            );
            if let Some(line) = line_of(&mut self.gshadow, group).filter(|line| line.len() == 4) {
                join(line, name);
            }
        }
        Ok(Home { path: home, uid, gid })
    }

    /// A group of the user's name, where none has the number.
    fn own_group(&mut self, name: &str, gid: u32) -> Result<(), String> {
        if self.group.iter().any(|line| number(line, 2) == Some(gid)) {
            return Ok(());
        }
        if let Some(other) = line_of(&mut self.group, name) {
            let other = other.get(2).cloned().unwrap_or_default();
            return Err(format!("no group has the gid {gid}, and `{name}` is that of {other}"));
        }
        let line = [name, "x", &gid.to_string(), ""].map(str::to_owned).to_vec();
        self.group.push(line);
        self.gshadow.push([name, "!", "", ""].map(str::to_owned).to_vec());
        Ok(())
    }

    fn password(&mut self, name: &str, user: &User, epoch: i64) {
        let (days, hash) = ((epoch / 86_400).to_string(), user.password_hash.as_deref());
        match (line_of(&mut self.shadow, name), hash) {
            (Some(line), Some(hash)) if line.len() > 2 => {
                line[1] = hash.to_owned();
                line[2] = days;
            }
            (Some(_), _) => {}
            (None, hash) => {
                // A `*` is no password's hash, and does not lock out who has a key.
                let fields = [name, hash.unwrap_or("*"), &days, "0", "99999", "7", "", "", ""];
                self.shadow.push(fields.map(str::to_owned).to_vec());
            }
        }
    }
}

/// Adds a member to the last field.
fn join(line: &mut [String], name: &str) {
    let members = &mut line[3];
    if members.split(',').any(|member| member == name) {
        return;
    }
    if !members.is_empty() {
        members.push(',');
    }
    members.push_str(name);
}

fn check(name: &str, user: &User) -> Result<(), String> {
    let mut bytes = name.bytes();
    let first = |b: u8| b.is_ascii_lowercase() || b == b'_';
    let later = |b: u8| first(b) || b.is_ascii_digit() || b == b'-';
    if name.len() > 32 || !bytes.next().is_some_and(first) || !bytes.all(later) {
        return Err("use 1 to 32 lower-case letters, digits, `-` and `_`, a letter first".into());
    }
    if user.uid.into_iter().chain(user.gid).any(|id| id > 65_535) {
        return Err("its uid and gid are at most 65535".into());
    }
    let texts = [&user.home, &user.shell, &user.comment, &user.password_hash];
    if texts.into_iter().flatten().any(|text| text.contains([':', '\n', '\0'])) {
        return Err("a colon or a line's end would break /etc/passwd".into());
    }
    let paths = [("home", &user.home), ("shell", &user.shell)];
    for (what, path) in paths.into_iter().filter_map(|(what, path)| Some((what, path.as_ref()?))) {
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(format!("its {what} `{path}` is not an absolute path"));
        }
    }
    if let Some(key) = user.ssh_keys.iter().find(|key| key.trim().is_empty() || key.contains('\n'))
    {
        return Err(format!("`{}` is not one key on one line", key.escape_default()));
    }
    Ok(())
}

/// Makes a home that is not there as `useradd` does, and its keys.
fn make_home(root: &Path, user: &User, home: &Home) -> Result<(), String> {
    let path = Path::new(home.path.trim_start_matches('/'));
    let owner = |mode| Owner { uid: home.uid, gid: home.gid, mode };
    if path.as_os_str().is_empty() || path.starts_with("nonexistent") {
        return if user.ssh_keys.is_empty() {
            Ok(())
        } else {
            Err("it has no home for keys".into())
        };
    }
    if directory_at(root, path, owner(0o700))? {
        let mut skeleton: Vec<_> =
            root.join(SKELETON).read_dir().into_iter().flatten().flatten().collect();
        skeleton.sort_by_key(std::fs::DirEntry::file_name);
        for entry in skeleton.iter().filter(|e| e.file_type().is_ok_and(|kind| kind.is_file())) {
            let from = entry.path();
            let mut file =
                std::fs::File::open(&from).map_err(|e| format!("{}: {e}", from.display()))?;
            write_in(root, &path.join(entry.file_name()), &mut file, owner(0o644))?;
        }
    }
    if user.ssh_keys.is_empty() {
        return Ok(());
    }
    directory_at(root, &path.join(".ssh"), owner(0o700))?;
    let text: String = user.ssh_keys.iter().map(|key| format!("{}\n", key.trim())).collect();
    write_in(root, &path.join(".ssh/authorized_keys"), &mut text.as_bytes(), owner(0o600))
}

#[cfg(test)]
mod tests;
