//! Numbers in, numbers out: scores, calibration, thresholds and their uncertainty.
//!
//! Everything here is a pure function of counts, scores and an explicit seed; the command line, the training
//! loop and every report call the same ones, so a number means the same wherever it is shown. Classes are
//! plain positions (`usize`), because this crate knows no schema; gold is `None` where an example carries no
//! label for the task, and such an example is never counted.

pub mod report;

mod calibrate;
mod confusion;
mod evaluation;
mod interval;
mod rows;
mod score;
mod threshold;

pub use calibrate::{
    Bin, Judged, RELIABILITY_BINS, Temperature, expected_calibration_error, fit_temperature, reliability,
};
pub use confusion::{Confusion, ConfusionError};
pub use evaluation::{Evaluation, LabelRow, TaskEvaluation};
pub use interval::{Interval, Seed, bootstrap, paired_bootstrap};
pub use rows::{Rows, RowsError};
pub use score::{LabelScores, Scores};
pub use threshold::{
    Band, BandShares, Bands, Share, Wanted, choose_bands, precision_lower_bound, share_bands,
};
