//! An evaluation for people: on the terminal, and as one self-contained page.

mod draw;
mod html;
mod terminal;

pub use html::html;
pub use terminal::terminal;

use std::fmt::Display;

/// A share as a percentage with one digit.
fn percent(share: f64) -> impl Display {
    format!("{:.1} %", 100.0 * share)
}
