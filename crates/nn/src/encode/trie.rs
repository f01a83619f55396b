//! A double-array trie over byte strings, searched where it lies.
//!
//! Every node is a cell of two little-endian words: where its children begin, and which cell is its parent. The child by byte `b`
//! of a node whose children begin at `s` is cell `s + b + 1`, if that names the node as its parent; cell `s` in its place ends
//! a string and holds its value. Nothing is built to search it, so a mapped file will do.
//!
//! Source: Aoe 1989, "An efficient digital search algorithm by using a double-array structure".

/// Bytes of a cell.
const CELL: usize = 8;
/// The parent of a cell no node has.
const FREE: u32 = u32::MAX;

/// A trie in bytes that may hold anything: a damaged one finds nothing or something else, no more.
#[derive(Clone, Copy)]
pub struct Trie<'a>(&'a [u8]);

impl<'a> Trie<'a> {
    /// A trie as [`build`] wrote it.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn cell(self, at: usize) -> Option<(u32, u32)> {
        let cell = self.0.as_chunks::<CELL>().0.get(at)?;
        let [a, b, c, d, e, f, g, h] = *cell;
        Some((u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])))
    }

    /// Calls `found(length, value)` for every string that `text` begins with, shortest first.
    pub fn prefixes(self, text: &[u8], mut found: impl FnMut(usize, u32)) {
        let Some((mut start, _)) = self.cell(0) else {
            return;
        };
        let mut node = 0;
        for (n, byte) in text.iter().enumerate() {
            let at = start as usize + usize::from(*byte) + 1;
            match self.cell(at) {
                Some((children, parent)) if parent == node => (start, node) = (children, at as u32),
                _ => return,
            }
            if let Some((value, parent)) = self.cell(start as usize)
                && parent == node
            {
                found(n + 1, value);
            }
        }
    }

    /// The value of exactly this string.
    pub fn get(self, text: &[u8]) -> Option<u32> {
        let mut value = None;
        self.prefixes(text, |length, found| {
            if length == text.len() {
                value = Some(found);
            }
        });
        value
    }
}

/// Builds a trie of strings, ascending and each once, none empty, with their values.
pub fn build(strings: &[(&[u8], u32)]) -> Vec<u8> {
    let mut builder = Builder {
        cells: vec![(0, FREE); 512],
        next: 1,
    };
    builder.cells[0].1 = 0;
    // A node with the strings below it, and how many bytes lead to it.
    let mut waiting = vec![(0usize, 0..strings.len(), 0usize)];
    while let Some((node, range, depth)) = waiting.pop() {
        let below = &strings[range.clone()];
        let code = |(text, _): &(&[u8], u32)| text.get(depth).map_or(0, |byte| usize::from(*byte) + 1);
        let mut children: Vec<(usize, std::ops::Range<usize>)> = Vec::new();
        for (n, string) in below.iter().enumerate() {
            let at = range.start + n;
            match children.last_mut() {
                Some((last, strings)) if *last == code(string) => strings.end = at + 1,
                _ => children.push((code(string), at..at + 1)),
            }
        }
        let start = builder.place(&children);
        builder.cells[node].0 = start as u32;
        for (code, strings_below) in children {
            let at = start + code;
            builder.cells[at].1 = node as u32;
            if code == 0 {
                builder.cells[at].0 = strings[strings_below.start].1;
            } else {
                waiting.push((at, strings_below, depth + 1));
            }
        }
    }
    let cells = builder.cells.iter();
    cells
        .flat_map(|(start, parent)| [start.to_le_bytes(), parent.to_le_bytes()])
        .flatten()
        .collect()
}

struct Builder {
    cells: Vec<(u32, u32)>,
    /// Cells before it are taken.
    next: usize,
}

impl Builder {
    /// Where children of these codes fit.
    fn place(&mut self, children: &[(usize, std::ops::Range<usize>)]) -> usize {
        let Some((first, _)) = children.first() else {
            return 0;
        };
        while self.taken(self.next) {
            self.next += 1;
        }
        let (mut at, mut tried) = (self.next.max(first + 1), 0);
        loop {
            if !self.taken(at) && children.iter().all(|(code, _)| !self.taken(at - first + code)) {
                break;
            }
            at += 1;
            tried += 1;
            // A stretch that is nearly full is not searched from its beginning again.
            if tried == 4096 {
                self.next = at - 2048;
            }
        }
        at - first
    }

    /// Whether a node has this cell; makes room for it and every child's.
    fn taken(&mut self, at: usize) -> bool {
        if at + 257 > self.cells.len() {
            self.cells.resize(2 * (at + 257), (0, FREE));
        }
        self.cells[at].1 != FREE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_string_and_no_other() {
        let mut strings: Vec<Vec<u8>> = (0..3000u32)
            .map(|n| {
                let bytes = n.wrapping_mul(2_654_435_761).to_be_bytes();
                bytes[..1 + n as usize % 4].to_vec()
            })
            .collect();
        strings.sort();
        strings.dedup();
        let pairs: Vec<(&[u8], u32)> = strings
            .iter()
            .enumerate()
            .map(|(n, s)| (&s[..], n as u32))
            .collect();
        let bytes = build(&pairs);
        let trie = Trie::new(&bytes);
        for (string, value) in &pairs {
            assert_eq!(trie.get(string), Some(*value));
            let mut longer = string.to_vec();
            longer.push(7);
            let expected = pairs.binary_search_by(|(s, _)| s.cmp(&&longer[..])).ok();
            assert_eq!(trie.get(&longer), expected.map(|n| n as u32));
            let mut found = Vec::new();
            trie.prefixes(string, |length, value| found.push((length, value)));
            let expected: Vec<(usize, u32)> = (1..=string.len())
                .filter_map(|n| {
                    Some((
                        n,
                        pairs.binary_search_by(|(s, _)| s.cmp(&&string[..n])).ok()? as u32,
                    ))
                })
                .collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn damage_finds_something_else_at_most() {
        let bytes = build(&[(b"ab", 1), (b"abc", 2)]);
        for end in 0..bytes.len().min(4096) {
            Trie::new(&bytes[..end]).prefixes(b"abcabc", |_, _| {});
        }
        Trie::new(&[0xff; 4096]).prefixes(b"abc", |_, _| {});
    }
}
