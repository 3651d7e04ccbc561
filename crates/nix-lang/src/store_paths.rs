//! The store paths that an evaluation has met, by number.

use nix_compat::StorePath;

use crate::index::Index;

/// Store paths by number: their digests and names in a row each.
#[derive(Default)]
pub(crate) struct StorePaths {
    digests: Vec<[u8; 20]>,
    names: String,
    /// Where the name of each ends.
    ends: Vec<u32>,
    index: Index,
}

impl StorePaths {
    /// The number of a path, if it has one.
    pub(crate) fn find(&self, path: &StorePath) -> Option<u32> {
        self.index.find(hash(path.digest()), |number| {
            self.digests[number as usize] == *path.digest() && self.name(number) == path.name()
        })
    }

    /// The number of a path.
    pub(crate) fn add(&mut self, path: &StorePath) -> u32 {
        if let Some(number) = self.find(path) {
            return number;
        }
        let number = self.digests.len() as u32;
        self.digests.push(*path.digest());
        self.names.push_str(path.name());
        self.ends.push(self.names.len() as u32);
        let digests = &self.digests;
        self.index.insert(hash(path.digest()), number, |number| hash(&digests[number as usize]));
        number
    }

    fn name(&self, number: u32) -> &str {
        let at = number as usize;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.names[start as usize..self.ends[at] as usize]
    }

    /// The path with a number that [`StorePaths::add`] gave.
    pub(crate) fn get(&self, number: u32) -> StorePath {
        StorePath::from_parts(self.digests[number as usize], self.name(number))
            .expect("a store path has a name that is right")
    }
}

/// A digest is as good as random.
fn hash(digest: &[u8; 20]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_back() {
        let mut paths = StorePaths::default();
        let path = |at: u32| {
            let mut digest = [0; 20];
            digest[..4].copy_from_slice(&(at / 2).to_le_bytes());
            let name = if at.is_multiple_of(2) { "a".to_owned() } else { format!("name-{at}") };
            StorePath::from_parts(digest, &name).expect("a store path")
        };
        for at in (0..100).chain(0..100) {
            let known = paths.find(&path(at));
            let number = paths.add(&path(at));
            assert!(number == at && known.is_none_or(|known| known == at));
            assert_eq!(paths.get(number), path(at));
        }
        assert_eq!(paths.find(&path(100)), None);
    }
}
