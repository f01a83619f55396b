//! Words of packed weights, wherever they lie.

use crate::aligned::Aligned;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Words in memory of their own, or within bytes that others share, such as a mapped file.
pub struct Words(Form);

enum Form {
    Own(Aligned<u32>),
    Shared {
        bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
        range: Range<usize>,
    },
}

impl Words {
    /// The words in `range` of `bytes`; none where it is outside, or begins or ends within a word.
    pub fn shared(bytes: Arc<dyn AsRef<[u8]> + Send + Sync>, range: Range<usize>) -> Option<Self> {
        let part = (*bytes).as_ref().get(range.clone())?;
        let whole = part.as_ptr().addr().is_multiple_of(4) && part.len().is_multiple_of(4);
        whole.then_some(Self(Form::Shared { bytes, range }))
    }
}

impl From<Aligned<u32>> for Words {
    fn from(words: Aligned<u32>) -> Self {
        Self(Form::Own(words))
    }
}

impl Deref for Words {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        match &self.0 {
            Form::Own(words) => words,
            Form::Shared { bytes, range } => {
                // SAFETY: any four bytes are a word. `shared` has seen that none lies across the ends.
                unsafe { (**bytes).as_ref()[range.clone()].align_to().1 }
            }
        }
    }
}
