//! The `tokenizer.json` of a packaged model.
//!
//! Nmt, NFKC, single spaces and none at the ends, then one `▁` before each word, then the unigram model: what
//! SentencePiece does for XLM-R. Specials are registered, so `tokenizers` finds them by name.

use super::{E5Error, Vocabulary};
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{self, NormalizerWrapper, Replace, Strip};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

/// Builds the tokenizer and returns it as compact JSON.
pub(super) fn json(vocabulary: &Vocabulary) -> Result<String, E5Error> {
    build(vocabulary)
        .and_then(|tokenizer| tokenizer.to_string(false))
        .map_err(|error| E5Error::Tokenizer {
            reason: error.to_string(),
        })
}

fn build(vocabulary: &Vocabulary) -> tokenizers::Result<Tokenizer> {
    let pieces = vocabulary
        .pieces
        .iter()
        .map(|(piece, score)| (piece.clone(), f64::from(*score)))
        .collect();
    let mut tokenizer = Tokenizer::new(Unigram::from(pieces, Some(vocabulary.unk as usize), false)?);
    let steps: Vec<NormalizerWrapper> = vec![
        normalizers::Nmt.into(),
        normalizers::NFKC.into(),
        Strip::new(true, true).into(),
        Replace::new(ReplacePattern::Regex(" {2,}".to_owned()), " ")?.into(),
    ];
    tokenizer.with_normalizer(Some(normalizers::Sequence::new(steps)));
    let metaspace = Metaspace::new('▁', PrependScheme::Always, true);
    tokenizer.with_pre_tokenizer(Some(metaspace.clone()));
    tokenizer.with_decoder(Some(metaspace));
    let name = |id: u32| vocabulary.pieces[id as usize].0.clone();
    let (bos, eos) = (name(vocabulary.bos), name(vocabulary.eos));
    let template = TemplateProcessing::builder()
        .try_single(format!("{bos} $A {eos}"))?
        .try_pair(format!("{bos} $A {eos} {eos} $B {eos}"))?
        .special_tokens(vec![(bos.clone(), vocabulary.bos), (eos.clone(), vocabulary.eos)])
        .build()?;
    tokenizer.with_post_processor(Some(template));
    let mut specials: Vec<u32> = vec![vocabulary.bos, vocabulary.pad, vocabulary.eos, vocabulary.unk];
    specials.extend(
        vocabulary
            .pieces
            .iter()
            .position(|(piece, _)| piece == "<mask>")
            .map(|id| id as u32),
    );
    let specials: Vec<AddedToken> = specials
        .into_iter()
        .map(|id| AddedToken::from(name(id), true))
        .collect();
    tokenizer.add_special_tokens(&specials);
    Ok(tokenizer)
}
