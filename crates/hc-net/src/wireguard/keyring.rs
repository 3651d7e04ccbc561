//! The keys of others, beside the host's own: what deploys exchange, and no flake or store holds.
//!
//! They are in `overlay.json` in the state directory, for root alone. A key that the description has
//! counts more than what is known here.

use super::key::{Key, is_key, random};
use crate::error::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hc_spec::Name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Everything known about others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Known {
    /// The cloud whose hosts these are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<Name>,
    /// Other hosts of it.
    #[serde(default)]
    pub hosts: BTreeMap<Name, Keys>,
    /// Computers that are no hosts, on networks of this one.
    #[serde(default)]
    pub peers: BTreeMap<Name, Road>,
}

/// A computer that is no host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Road {
    /// Its public key.
    pub public_key: String,
    /// The network it is on.
    pub network: Name,
}

/// How another host is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Keys {
    /// Its public key.
    pub public_key: String,
    /// A secret of the two hosts, mixed into every handshake.
    pub preshared_key: String,
}

/// What a host that is deployed tells another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offer {
    /// The cloud both are in.
    pub cloud: Name,
    /// Who tells.
    pub from: Name,
    /// Who is told.
    pub to: Name,
    /// The keys of who tells.
    pub keys: Keys,
}

/// What the other one answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// Its public key.
    pub public_key: String,
    /// How it knew the host that told it.
    pub known: Change,
    /// Where the other host of that name was heard last, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<IpAddr>,
}

/// How new a key is to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// There was none.
    New,
    /// It was the same.
    Same,
    /// It was another one: the host was made anew, or somebody passes for it.
    Changed,
    /// It was another one, and whoever has that is there: two hosts have one name. The first one stays.
    Taken,
}

/// Which file it is, and when it was written.
pub(super) type Stamp = (u64, i64, i64);

/// The keys of a host and of those it knows, in files.
#[derive(Debug, Clone)]
pub struct Keyring {
    own: PathBuf,
    known: PathBuf,
    places: PathBuf,
}

impl Keyring {
    /// In this state directory.
    #[must_use]
    pub fn of(state_dir: &Path) -> Self {
        let file = |name| state_dir.join(name);
        Self {
            own: file("overlay.key"),
            known: file("overlay.json"),
            places: file("overlay-places.json"),
        }
    }

    /// The host's own key; one is made if there is none.
    ///
    /// # Errors
    /// As [`Key::of_host`].
    pub fn own(&self) -> Result<Key> {
        Key::of_host(&self.own)
    }

    /// What is known of others.
    ///
    /// # Errors
    /// When the file cannot be read, or holds something else.
    pub fn known(&self) -> Result<Known> {
        let failed = |source| Error::Read { path: self.known.clone(), source };
        match std::fs::read(&self.known) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| failed(e.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Known::default()),
            Err(error) => Err(failed(error)),
        }
    }

    /// What differs when that changed.
    pub(super) fn changed(&self) -> Option<Stamp> {
        use std::os::unix::fs::MetadataExt;
        let found = self.known.metadata().ok()?;
        Some((found.ino(), found.mtime(), found.mtime_nsec()))
    }

    /// What to tell host `to`: the secret both have, or a new one.
    ///
    /// # Errors
    /// When keys cannot be read or made.
    pub fn offer(&self, cloud: &Name, from: &Name, to: &Name) -> Result<Offer> {
        let known = self.known()?;
        let common = known.of(cloud).get(to).map(|keys| keys.preshared_key.clone());
        let preshared_key = common.map_or_else(|| random().map(|key| STANDARD.encode(key)), Ok)?;
        let keys = Keys { public_key: self.own()?.public(), preshared_key };
        Ok(Offer { cloud: cloud.clone(), from: from.clone(), to: to.clone(), keys })
    }

    /// Takes what another host tells, and answers. `there` says whether the host that has its name answers,
    /// with the key by which it is known; it is asked only when this is another one.
    ///
    /// # Errors
    /// When what it tells is no key, or files cannot be read or written.
    pub fn accept(&self, offer: &Offer, there: impl FnOnce() -> bool) -> Result<Answer> {
        let public_key = self.own()?.public();
        let known = self.learn(&offer.cloud, &offer.from, &offer.keys, there)?;
        Ok(Answer { public_key, known, taken_at: None })
    }

    /// Remembers what another host answered to an offer; of one that lets nobody of this name in, nothing.
    /// `there` is as for [`Self::accept`].
    ///
    /// # Errors
    /// As [`Self::accept`].
    pub fn conclude(
        &self,
        offer: &Offer,
        answer: &Answer,
        there: impl FnOnce() -> bool,
    ) -> Result<Change> {
        if answer.known == Change::Taken {
            return Ok(Change::Same);
        }
        let keys = Keys { public_key: answer.public_key.clone(), ..offer.keys.clone() };
        self.learn(&offer.cloud, &offer.to, &keys, there)
    }

    /// Where computers that are no hosts were heard last, by their public keys.
    pub(super) fn places(&self) -> BTreeMap<String, SocketAddr> {
        // Not knowing costs a while of waiting for them.
        let text = std::fs::read(&self.places).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub(super) fn keep_places(&self, places: &BTreeMap<String, SocketAddr>) -> Result<()> {
        let text = serde_json::to_vec(places).unwrap_or_default();
        Ok(hc_fs::plain::replace(&self.places, &text, 0o600)?)
    }

    /// Lets a computer in. Says whether it does: not where there is one of that name.
    ///
    /// # Errors
    /// When its key is none, or files cannot be read or written.
    pub fn add_road(&self, name: &Name, road: &Road) -> Result<bool> {
        if !is_key(&road.public_key) {
            let source = std::io::Error::new(ErrorKind::InvalidData, "that is no key");
            return Err(Error::System { action: "let it in", source });
        }
        self.change(|known| {
            let free = !known.peers.contains_key(name);
            known.peers.entry(name.clone()).or_insert_with(|| road.clone());
            free
        })
    }

    /// Lets it in no longer. Says whether there was one.
    ///
    /// # Errors
    /// When files cannot be read or written.
    pub fn remove_road(&self, name: &Name) -> Result<bool> {
        self.change(|known| known.peers.remove(name).is_some())
    }

    fn learn(
        &self,
        cloud: &Name,
        host: &Name,
        keys: &Keys,
        there: impl FnOnce() -> bool,
    ) -> Result<Change> {
        if !is_key(&keys.public_key) || !is_key(&keys.preshared_key) {
            let source = std::io::Error::new(ErrorKind::InvalidData, "what it says is no key");
            return Err(Error::System { action: "take the keys of another host", source });
        }
        // Before anything is locked: that takes seconds.
        let known = self.known()?;
        let other = known.of(cloud).get(host).filter(|known| known.public_key != keys.public_key);
        if other.is_some() && there() {
            return Ok(Change::Taken);
        }
        self.change(|known| {
            if known.cloud.as_ref() != Some(cloud) {
                known.cloud = Some(cloud.clone());
                known.hosts.clear();
            }
            match known.hosts.insert(host.clone(), keys.clone()) {
                None => Change::New,
                Some(before) if before.public_key == keys.public_key => Change::Same,
                Some(_) => Change::Changed,
            }
        })
    }

    /// One change at a time; nothing is written where nothing is new.
    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> Result<T> {
        if let Some(directory) = self.known.parent() {
            hc_fs::durable::create_dir_all(directory, 0o755)?;
        }
        let lock = self.known.with_extension("lock");
        let failed = |source| Error::Read { path: lock.clone(), source };
        let held = hc_fs::plain::append(&lock, 0o600)?;
        held.lock().map_err(failed)?;
        let before = self.known()?;
        let mut after = before.clone();
        let changed = change(&mut after);
        if after != before {
            let text = serde_json::to_vec_pretty(&after).map_err(|e| failed(e.into()))?;
            hc_fs::durable::write(&self.known, &text, 0o600)?;
        }
        Ok(changed)
    }
}

impl Known {
    /// The hosts of a cloud: none where those of another one are known.
    pub(super) fn of(&self, cloud: &Name) -> &BTreeMap<Name, Keys> {
        static NONE: BTreeMap<Name, Keys> = BTreeMap::new();
        if self.cloud.as_ref() == Some(cloud) { &self.hosts } else { &NONE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn two_hosts_learn_each_others_keys_and_share_a_secret() {
        let (at_a, at_b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (a, b) = (Keyring::of(at_a.path()), Keyring::of(at_b.path()));
        let (cloud, east, west) = (name("c"), name("east"), name("west"));
        let exchange = |from: &Keyring, to: &Keyring, names: (&Name, &Name)| {
            let offer = from.offer(&cloud, names.0, names.1).unwrap();
            let answer = to.accept(&offer, || false).unwrap();
            (answer.known, from.conclude(&offer, &answer, || false).unwrap())
        };
        assert_eq!(exchange(&a, &b, (&east, &west)), (Change::New, Change::New));
        let known = (a.known().unwrap(), b.known().unwrap());
        assert_eq!(known.0.hosts[&west].public_key, b.own().unwrap().public());
        assert_eq!(known.1.hosts[&east].public_key, a.own().unwrap().public());
        let secret = known.0.hosts[&west].preshared_key.clone();
        assert_eq!(known.1.hosts[&east].preshared_key, secret);
        let mode = at_a.path().join("overlay.json").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // Again, and the other way round: nothing is new.
        let before = a.changed();
        assert_eq!(exchange(&a, &b, (&east, &west)), (Change::Same, Change::Same));
        assert_eq!(exchange(&b, &a, (&west, &east)), (Change::Same, Change::Same));
        assert_eq!(a.changed(), before);
        // A host that was made anew is one that changed, and has the secret again.
        hc_fs::plain::remove_file(&at_b.path().join("overlay.key")).unwrap();
        hc_fs::plain::remove_file(&at_b.path().join("overlay.json")).unwrap();
        assert_eq!(exchange(&a, &b, (&east, &west)), (Change::New, Change::Changed));
        assert_eq!(b.known().unwrap().hosts[&east].preshared_key, secret);
        // In another cloud nobody of the first is known.
        let offer = a.offer(&name("d"), &east, &west).unwrap();
        assert_ne!(offer.keys.preshared_key, secret);
    }

    #[test]
    fn a_second_host_of_a_name_is_not_let_in_while_the_first_is_there() {
        let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let [east, west, double] = dirs.each_ref().map(|dir| Keyring::of(dir.path()));
        let (cloud, names) = (name("c"), (name("east"), name("west")));
        let first = west.offer(&cloud, &names.1, &names.0).unwrap();
        let asked = || -> bool { panic!("nobody else is known by that name") };
        let answer = east.accept(&first, asked).unwrap();
        assert_eq!(west.conclude(&first, &answer, asked).unwrap(), Change::New);
        let known = east.known().unwrap();
        let second = double.offer(&cloud, &names.1, &names.0).unwrap();
        let answer = east.accept(&second, || true).unwrap();
        assert_eq!(answer.known, Change::Taken);
        double.conclude(&second, &answer, asked).unwrap();
        assert_eq!(double.known().unwrap(), Known::default(), "nor does it know anybody");
        assert_eq!(east.known().unwrap(), known);
        // The first one is asked again: nothing is new. And so when it is the other that answers.
        assert_eq!(east.accept(&first, asked).unwrap().known, Change::Same);
        let offer = east.offer(&cloud, &names.0, &names.1).unwrap();
        let answer = double.accept(&offer, asked).unwrap();
        assert_eq!(east.conclude(&offer, &answer, || true).unwrap(), Change::Taken);
        assert_eq!(east.known().unwrap(), known);
        // The first one went, and the second takes its place.
        assert_eq!(east.accept(&second, || false).unwrap().known, Change::Changed);
    }

    #[test]
    fn what_is_no_key_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let keyring = Keyring::of(dir.path());
        let mut offer = keyring.offer(&name("c"), &name("a"), &name("b")).unwrap();
        offer.keys.public_key = "rubbish".into();
        assert!(keyring.accept(&offer, || false).unwrap_err().to_string().contains("is no key"));
        assert_eq!(keyring.known().unwrap(), Known::default());
    }
}
