//! What a model may see of a record: clean text and gold labels.

use crate::Record;
use jiff::Timestamp;
use poststelle_labels::ClassIndex;
use poststelle_mail::CleanText;

/// One mail's clean text with its gold labels, some tasks unlabelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    id: String,
    text: String,
    gold: Vec<Option<ClassIndex>>,
    broker: Option<String>,
    language: Option<String>,
    group: Option<String>,
    thread: Option<String>,
    received_at: Option<Timestamp>,
}

impl Example {
    /// An example of this record's cleaned mail.
    ///
    /// `gold` has an entry per task of the schema, in its order; `None` where the mail is not labelled.
    pub fn new(record: &Record, text: &CleanText, gold: Vec<Option<ClassIndex>>) -> Self {
        Self {
            id: record.id.clone(),
            text: text.model_text(record.broker.as_deref()),
            gold,
            broker: record.broker.clone(),
            language: record.language.clone(),
            group: record.group.clone(),
            thread: record.thread.clone(),
            received_at: record.received_at,
        }
    }

    /// Names the mail.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The text a model reads; the very text [`CleanText::model_text`] gives when serving.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The gold class per task, in the order of the schema's tasks.
    pub fn gold(&self) -> &[Option<ClassIndex>] {
        &self.gold
    }

    /// The broker the mail came through.
    pub fn broker(&self) -> Option<&str> {
        self.broker.as_deref()
    }

    /// The language the file claims.
    pub fn language(&self) -> Option<&str> {
        self.language.as_deref()
    }

    /// The language its text is in (ISO 639-1), `None` when unsure. It takes longer than cleaning, so it is found when asked for.
    pub fn written_in(&self) -> Option<&'static str> {
        // A broker's name is of a language of its own.
        let line = self.broker.as_ref().and(self.text.strip_prefix("Broker: "));
        let below = line.and_then(|line| line.split_once('\n'));
        poststelle_mail::language(below.map_or(&self.text, |(_, text)| text))
    }

    /// The rows this one must not be split from.
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// The conversation the mail belongs to.
    pub fn thread(&self) -> Option<&str> {
        self.thread.as_deref()
    }

    /// When the mail arrived.
    pub fn received_at(&self) -> Option<Timestamp> {
        self.received_at
    }
}
