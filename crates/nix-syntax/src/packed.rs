//! Texts that are hardly ever looked at again, compressed in blocks.

use std::ops::Range;

/// So many bytes are compressed together: texts that lie together are much alike.
const BLOCK: usize = 32 << 10;

/// Byte strings by number, in a fraction of their size. The newest are kept as they are.
#[derive(Default, Debug)]
pub struct PackedTexts {
    /// The block of each text, and where in it the text is.
    texts: Vec<(u32, Range<u32>)>,
    blocks: Vec<Box<[u8]>>,
    /// The block that is not full yet.
    open: Vec<u8>,
    /// The block that was read last, with its number.
    last: Option<(u32, Vec<u8>)>,
}

impl PackedTexts {
    /// Keeps a text; its number is how many there were before.
    pub fn add(&mut self, text: &[u8]) {
        if !self.open.is_empty() && self.open.len() + text.len() > BLOCK {
            self.blocks.push(lz4_flex::compress_prepend_size(&self.open).into());
            self.open.clear();
        }
        let start = self.open.len() as u32;
        self.texts.push((self.blocks.len() as u32, start..start + text.len() as u32));
        if text.len() > BLOCK {
            self.blocks.push(lz4_flex::compress_prepend_size(text).into());
        } else {
            self.open.extend_from_slice(text);
        }
    }

    /// The text with this number.
    pub fn get(&mut self, number: usize) -> Option<&[u8]> {
        let (block, range) = self.texts.get(number)?.clone();
        let range = range.start as usize..range.end as usize;
        let Some(packed) = self.blocks.get(block as usize) else { return self.open.get(range) };
        if self.last.as_ref().is_none_or(|(known, _)| *known != block) {
            let unpacked = lz4_flex::decompress_size_prepended(packed).ok()?;
            self.last = Some((block, unpacked));
        }
        self.last.as_ref()?.1.get(range)
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is no text yet.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn texts_come_back(
            lengths in proptest::collection::vec(prop_oneof![0..2000usize, 60_000..70_000usize], 1..60),
            asked in proptest::collection::vec(any::<proptest::sample::Index>(), 1..40),
        ) {
            let text = |number: usize| -> Vec<u8> {
                (0..lengths[number]).map(|at| (at * (number + 7) % 251) as u8).collect()
            };
            let mut packed = PackedTexts::default();
            for number in 0..lengths.len() {
                packed.add(&text(number));
                let wanted = text(number);
                prop_assert_eq!(packed.get(number), Some(wanted.as_slice()));
            }
            for number in asked.into_iter().map(|at| at.index(lengths.len())) {
                let wanted = text(number);
                prop_assert_eq!(packed.get(number), Some(wanted.as_slice()));
            }
            prop_assert_eq!(packed.get(lengths.len()), None);
        }
    }
}
