//! What mails are about: business units, their queues and topics, each with its own phrases.

use crate::person::lines;
use crate::phrase::Language;
use poststelle_labels::{Label, Schema, Task, TaskName};
use serde::Deserialize;
use std::sync::LazyLock;

const FILES: [&str; 5] = [
    include_str!("../data/securities.toml"),
    include_str!("../data/insurance.toml"),
    include_str!("../data/lending.toml"),
    include_str!("../data/client-office.toml"),
    include_str!("../data/broker-services.toml"),
];

/// The three tasks, the parent first.
pub(crate) const TASKS: [&str; 3] = ["business_unit", "queue", "topic"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnitFile {
    unit: String,
    description: String,
    chatter: Chatter,
    queue: Vec<QueueEntry>,
    topic: Vec<TopicEntry>,
}

/// Small talk that any mail to a unit may hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chatter {
    #[serde(deserialize_with = "lines")]
    de: Vec<String>,
    #[serde(deserialize_with = "lines")]
    en: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueEntry {
    name: String,
    description: String,
    #[serde(default)]
    brokers_only: bool,
    #[serde(deserialize_with = "lines")]
    de: Vec<String>,
    #[serde(deserialize_with = "lines")]
    en: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicEntry {
    name: String,
    queue: String,
    weight: f64,
    #[serde(default)]
    months: Vec<i8>,
    de: Phrases,
    en: Phrases,
}

/// One topic's phrases in one language.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phrases {
    /// Names of the matter, without article.
    #[serde(deserialize_with = "lines")]
    pub nouns: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub subjects: Vec<String>,
    /// Full sentences that carry the request.
    #[serde(deserialize_with = "lines")]
    pub requests: Vec<String>,
    /// The same in a few words, typed on a phone.
    #[serde(deserialize_with = "lines")]
    pub briefs: Vec<String>,
    /// Particulars that follow a request.
    #[serde(deserialize_with = "lines")]
    pub details: Vec<String>,
    /// How a mail on another topic mentions this one; clauses without a full stop.
    #[serde(deserialize_with = "lines")]
    pub asides: Vec<String>,
}

/// A topic in its place.
#[derive(Debug)]
pub(crate) struct Topic {
    pub name: String,
    pub queue: String,
    pub unit: String,
    /// Share of all mails, in parts of the sum over topics.
    pub weight: f64,
    /// Months in which most of its mails come; empty for the whole year.
    pub months: Vec<i8>,
    /// Brokers write these for themselves.
    pub brokers_only: bool,
    de: Phrases,
    en: Phrases,
    queue_de: Vec<String>,
    queue_en: Vec<String>,
    chatter: Chatter,
}

impl Topic {
    /// The topic's phrases.
    pub fn phrases(&self, language: Language) -> &Phrases {
        if language == Language::German {
            &self.de
        } else {
            &self.en
        }
    }

    /// Particulars that fit every topic of the queue.
    pub fn queue_details(&self, language: Language) -> &[String] {
        if language == Language::German {
            &self.queue_de
        } else {
            &self.queue_en
        }
    }

    /// Small talk of the unit's clients.
    pub fn chatter(&self, language: Language) -> &[String] {
        if language == Language::German {
            &self.chatter.de
        } else {
            &self.chatter.en
        }
    }

    /// The label of this topic's chain for each of [`TASKS`].
    pub fn chain(&self) -> [&str; 3] {
        [&self.unit, &self.queue, &self.name]
    }
}

/// All topics, in the order of the data files.
pub(crate) static TOPICS: LazyLock<Vec<Topic>> = LazyLock::new(|| {
    let mut topics = Vec::new();
    for file in files() {
        for topic in file.topic {
            let queue = file.queue.iter().find(|queue| queue.name == topic.queue);
            let queue = queue.unwrap_or_else(|| panic!("topic `{}` names no queue of its file", topic.name));
            topics.push(Topic {
                name: topic.name,
                queue: topic.queue,
                unit: file.unit.clone(),
                weight: topic.weight,
                months: topic.months,
                brokers_only: queue.brokers_only,
                de: topic.de,
                en: topic.en,
                queue_de: queue.de.clone(),
                queue_en: queue.en.clone(),
                chatter: file.chatter.clone(),
            });
        }
    }
    topics
});

fn files() -> impl Iterator<Item = UnitFile> {
    FILES
        .iter()
        .map(|text| toml::from_str(text).expect("a topic file is well formed"))
}

/// The schema of the generated labels: business units, their queues, their topics.
pub fn schema() -> Schema {
    let (mut units, mut queues, mut topics) = (Vec::new(), Vec::new(), Vec::new());
    for file in files() {
        units.push(Label {
            description: Some(file.description),
            ..Label::named(&*file.unit)
        });
        for queue in file.queue {
            let parent = Some(file.unit.clone());
            queues.push(Label {
                parent,
                description: Some(queue.description),
                ..Label::named(queue.name)
            });
        }
        for topic in file.topic {
            topics.push(Label {
                parent: Some(topic.queue),
                ..Label::named(topic.name)
            });
        }
    }
    let [unit, queue, topic] = TASKS.map(TaskName::new);
    let tasks = [
        (unit.clone(), None, units),
        (queue.clone(), Some(unit), queues),
        (topic, Some(queue), topics),
    ];
    let tasks =
        tasks.map(|(name, parent, labels)| Task::new(name, parent, labels).expect("labels are distinct"));
    Schema::new(1, tasks.into()).expect("the hierarchy is sound")
}
