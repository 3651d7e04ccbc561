//! Hash tables of numbers: four bytes an entry, over what is kept elsewhere.

/// Numbers found by the hash of what they stand for. Whoever asks says what that is.
#[derive(Default)]
pub(crate) struct Index {
    /// One more than a number, or 0: a power of two of them, a quarter of which is free.
    slots: Vec<u32>,
    filled: usize,
}

impl Index {
    /// The number with this hash that `is` the one.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = place(hash) & mask;
        loop {
            let number = self.slots[at].checked_sub(1)?;
            if is(number) {
                return Some(number);
            }
            at = (at + 1) & mask;
        }
    }

    /// Puts in a number that is not in yet; `hash_of` is asked of all where there is to be more room.
    pub(crate) fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        if self.filled * 4 >= self.slots.len() * 3 {
            let larger = vec![0; (self.slots.len() * 2).max(16)];
            for old in std::mem::replace(&mut self.slots, larger) {
                if let Some(number) = old.checked_sub(1) {
                    self.put(hash_of(number), number);
                }
            }
        }
        self.put(hash, number);
        self.filled += 1;
    }

    fn put(&mut self, hash: u64, number: u32) {
        let mask = self.slots.len() - 1;
        let mut at = place(hash) & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = number + 1;
    }
}

/// Where to look first: hashes are made of numbers in a row, too.
fn place(hash: u64) -> usize {
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn numbers_are_found(keys in proptest::collection::vec(0u64..500, 0..600)) {
            let (mut kept, mut index, mut model) = (Vec::new(), Index::default(), HashMap::new());
            for key in keys {
                // Many keys share a hash.
                let hash = |key: u64| key % 97;
                let found = index.find(hash(key), |number| kept[number as usize] == key);
                prop_assert_eq!(found, model.get(&key).copied());
                if found.is_none() {
                    let number = kept.len() as u32;
                    kept.push(key);
                    index.insert(hash(key), number, |number| hash(kept[number as usize]));
                    model.insert(key, number);
                }
            }
        }
    }
}
