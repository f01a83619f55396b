//! Writes realistic mails of a broker platform's clients, with gold labels, to try things on.
//!
//! No public corpus holds German client mail with a label hierarchy, and real mail cannot be
//! shared. So this room writes its own: raw RFC 5322 bytes with histories, signatures, HTML,
//! typing mistakes and odd charsets, labelled by business unit, queue and topic. A seed names a
//! set for ever.
//!
//! It is meant to be as hard as the real thing: matters borrow each other's words, mention each
//! other, leave the matter to the subject or keep an old one, and a few labels are wrong or
//! missing. Whoever reaches 99 % here has a leak.
//!
//! All people, firms, funds and numbers are invented; check digits are right.

mod chance;
mod checked;
mod compose;
mod envelope;
mod export;
mod facts;
mod layout;
mod manner;
mod mime;
mod person;
mod phrase;
mod plan;
mod program;
mod quote;
mod signature;
mod topic;
mod typos;

pub use export::{ExportError, Exported, export};
pub use topic::schema;

use chance::Chance;
use plan::Plan;
use poststelle_labels::TaskName;
use std::sync::Arc;
use topic::{TASKS, TOPICS};

/// One mail with what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The message as it arrived, RFC 5322, lines ending in CRLF.
    pub raw: Vec<u8>,
    /// The Message-ID without angle brackets.
    pub message_id: String,
    /// Names the conversation; mails of one thread share it.
    pub thread: String,
    /// Short name of the broker the client belongs to, `None` for a direct client.
    pub broker: Option<String>,
    /// Arrival, RFC 3339 with the offset of German time.
    pub received_at: String,
    /// The decoded subject.
    pub subject: String,
    /// The words a perfect cleaner keeps: without salutation, farewell, signature and history.
    pub request: String,
    /// Gold labels, tasks in schema order; a task without an entry is not labelled.
    pub labels: Vec<(TaskName, String)>,
}

/// Share of mails whose labels a person got wrong, and of task labels that are missing.
const WRONG: f64 = 0.02;
const MISSING: f64 = 0.03;

/// Writes `count` mails, the oldest first; the same `count` and `seed` give the same bytes.
pub fn generate(count: usize, seed: u64) -> impl Iterator<Item = Mail> {
    plan::plans(count, seed).into_iter().map(|plan| mail(&plan))
}

fn mail(plan: &Arc<Plan>) -> Mail {
    let sealed = envelope::seal(plan);
    Mail {
        raw: sealed.raw,
        message_id: plan.message_id(),
        thread: format!("t{:06}", plan.thread),
        broker: plan.broker().map(|broker| broker.key.clone()),
        received_at: format!("{}+{:02}:00", plan.when, plan.offset_hours()),
        subject: sealed.subject,
        request: sealed.request,
        labels: gold(plan),
    }
}

/// The labels a person gave: mostly right, and always one path through the hierarchy.
fn gold(plan: &Plan) -> Vec<(TaskName, String)> {
    let mut chance = Chance::for_item(plan.seed, 6);
    let topic = plan.topic();
    let mut given = topic;
    if chance.odds(WRONG) {
        let same_queue = chance.odds(0.7);
        let others: Vec<_> = TOPICS
            .iter()
            .filter(|other| other.name != topic.name && (!same_queue || other.queue == topic.queue))
            .collect();
        given = others[chance.below(others.len())];
    }
    TASKS
        .iter()
        .zip(given.chain())
        .filter(|_| !chance.odds(MISSING))
        .map(|(task, label)| (TaskName::new(*task), label.to_owned()))
        .collect()
}
