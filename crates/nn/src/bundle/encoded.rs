//! Texts as the models of a bundle take them.
//!
//! Tokenising is work of its own: it needs no other text, and it tells what the rest of the work will cost. A caller
//! who packs batches by cost encodes first.

use crate::encode::Encoding;

/// Bytes that stand for a token where no tokenizer counts them; German and English word pieces are about as long.
const TOKEN_BYTES: usize = 4;

/// A text and its word pieces. The linear model takes the text, the encoder the pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    text: String,
    encoding: Option<Encoding>,
}

impl Encoded {
    /// Joins a text and its word pieces, none where no encoder will ask for them.
    pub fn new(text: String, encoding: Option<Encoding>) -> Self {
        Self { text, encoding }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The word pieces, if an encoder asks for them.
    pub fn encoding(&self) -> Option<&Encoding> {
        self.encoding.as_ref()
    }

    /// Its end was cut off, for an encoder does not read that much.
    pub fn truncated(&self) -> bool {
        self.encoding.as_ref().is_some_and(|encoding| encoding.truncated)
    }

    /// What it costs to compute, in tokens; without word pieces a quarter of its bytes. At least 1.
    pub fn tokens(&self) -> usize {
        match &self.encoding {
            Some(encoding) => encoding.ids.len().max(1),
            None => self.text.len().div_ceil(TOKEN_BYTES).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_its_word_pieces_or_a_quarter_of_its_bytes() {
        let encoding = |tokens| {
            Some(Encoding {
                ids: vec![1; tokens],
                truncated: false,
            })
        };
        let tokens = |text: &str, encoding| Encoded::new(text.into(), encoding).tokens();
        assert_eq!(tokens("Guten Morgen", encoding(5)), 5);
        assert_eq!(tokens("Guten Morgen", None), 3);
        assert_eq!((tokens("", None), tokens("", encoding(0))), (1, 1));
    }
}
