//! Splits rows into train, validation and test so that no family lies on two sides.
//!
//! A family is what shares a thread, an explicit group or a text (almost; paraphrases only when asked). A row whose sibling was trained on
//! is answered from memory, so a split by rows flatters a model; [`Report`] says by how much.
//!
//! Labels are spread as evenly as families allow: the rarest label is dealt out first, and each of its
//! families goes where that label is missed most (iterative stratification: Sechidis, Tsoumakas, Vlahavas
//! 2011, <https://doi.org/10.1007/978-3-642-23808-6_10>). A label in few families is kept in train first,
//! then validation, then test. By date, the newest families go to test and the next newest to validation, as
//! tomorrow's mail will meet yesterday's model.

mod deal;
mod report;

pub use report::{Flattered, PartReport, Report};

use crate::Families;
use crate::lookup::Vectors;
use crate::near::{join_near, sketches};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a split needs to know of a row.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The clean text.
    pub text: &'a str,
    /// The label to spread evenly.
    pub label: Option<&'a str>,
    /// The conversation.
    pub thread: Option<&'a str>,
    /// Rows of one group stay together.
    pub group: Option<&'a str>,
    /// When the mail arrived.
    pub received_at: Option<Timestamp>,
}

/// A side of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// What a model learns from.
    Train,
    /// What choices between models are made on.
    Validation,
    /// What is opened once per version.
    Test,
}

impl Part {
    /// All parts, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The part's name, as files and reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// How families are dealt out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Labels as even as families allow.
    Stratified,
    /// The newest families to test, the next newest to validation.
    ByDate,
}

/// The settings of a split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Settings {
    /// Share of rows for test, `0 .. 1`.
    pub test: f64,
    /// Share of rows for validation, `0 .. 1`; test and validation together stay below 1.
    pub validation: f64,
    /// Breaks ties; equal rows, settings and seed give the equal split.
    pub seed: u64,
    /// How families are dealt out.
    pub order: Order,
    /// Also joins rows whose TF-IDF cosine over words and word pairs reaches this, `0 < x <= 1`. For data with
    /// paraphrases of one mail, which share a wish and hardly a word 3-gram.
    pub similar: Option<f64>,
}

impl Settings {
    /// The share of rows for each part, in the order of [`Part::ALL`].
    pub fn shares(&self) -> [f64; 3] {
        [1.0 - self.validation - self.test, self.validation, self.test]
    }
}

/// Why rows cannot be split.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Shares that leave nothing to train on, or are no shares.
    #[error("test {test} and validation {validation}: expected shares from 0, together below 1")]
    Shares {
        /// The share for test.
        test: f64,
        /// The share for validation.
        validation: f64,
    },
    /// A similarity no cosine can have, or that joins everything.
    #[error("similarity {similar}: expected a cosine above 0, up to 1")]
    Similar {
        /// The similarity asked for.
        similar: f64,
    },
    /// Fewer families than parts.
    #[error("{families} families of mails cannot fill {parts} parts")]
    TooFew {
        /// Families of rows.
        families: usize,
        /// Parts with a share above 0.
        parts: usize,
    },
    /// A split by date without a date.
    #[error("none of {rows} rows has a `received_at`, which a split by date needs")]
    NoDate {
        /// All rows.
        rows: usize,
    },
}

/// A split and what it is like.
#[derive(Debug, Clone)]
pub struct Split {
    /// The part of each row.
    pub parts: Vec<Part>,
    /// The families no part shares.
    pub families: Families,
    /// What the split is like, and what a random one would have flattered.
    pub report: Report,
}

impl Split {
    /// The rows of a part, in order.
    pub fn rows(&self, part: Part) -> impl Iterator<Item = usize> + '_ {
        self.parts
            .iter()
            .enumerate()
            .filter(move |(_, at)| **at == part)
            .map(|(row, _)| row)
    }
}

/// The families of these rows: same thread, same group, near-duplicate texts, or texts as similar as
/// [`Settings::similar`] asks, directly or through others.
pub fn families(rows: &[Row<'_>], similar: Option<f64>) -> Families {
    let mut families = Families::new(rows.len());
    families.join_equal(rows.iter().map(|row| row.thread));
    families.join_equal(rows.iter().map(|row| row.group));
    let texts: Vec<&str> = rows.iter().map(|row| row.text).collect();
    join_near(&mut families, &sketches(&texts));
    if let Some(least) = similar {
        Vectors::of(&texts).join_similar(&mut families, least as f32);
    }
    families
}

/// Splits rows by family.
///
/// # Errors
/// [`SplitError`] when the shares are wrong, there are fewer families than parts, or dates are missing.
pub fn split(rows: &[Row<'_>], settings: &Settings) -> Result<Split, SplitError> {
    let Settings {
        test,
        validation,
        similar,
        ..
    } = *settings;
    let share = |x: f64| (0.0..1.0).contains(&x);
    if !share(test) || !share(validation) || test + validation >= 1.0 {
        return Err(SplitError::Shares { test, validation });
    }
    if let Some(similar) = similar.filter(|x| !(*x > 0.0 && *x <= 1.0)) {
        return Err(SplitError::Similar { similar });
    }
    let families = families(rows, similar);
    let members = families.members();
    let parts = settings.shares().iter().filter(|share| **share > 0.0).count();
    if members.len() < parts {
        return Err(SplitError::TooFew {
            families: members.len(),
            parts,
        });
    }
    let parts = match settings.order {
        Order::Stratified => deal::stratified(rows, &members, settings),
        Order::ByDate => deal::by_date(rows, &members, settings)?,
    };
    let report = report::Report::of(rows, &families, &parts, settings);
    Ok(Split {
        parts,
        families,
        report,
    })
}
