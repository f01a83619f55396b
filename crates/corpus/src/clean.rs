//! Cleans many mails on all cores, in order.

use crate::Record;
use poststelle_mail::{CleanText, Cleaner};
use rayon::prelude::*;

/// The clean text of each record, in order.
pub fn clean_texts(records: &[Record], cleaner: &Cleaner) -> Vec<CleanText> {
    records
        .par_iter()
        .map(|record| cleaner.clean(&record.message()))
        .collect()
}
