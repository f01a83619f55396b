//! Who writes when about what: threads first, words later.
//!
//! A plan is small and knows its seed, so a mail can be written at any time, and again when a
//! later mail of the thread quotes it.

use crate::chance::Chance;
use crate::facts::Facts;
use crate::person::{BROKERS, Person};
use crate::phrase::{Language, Voice};
use crate::topic::{TOPICS, Topic};
use jiff::Span;
use jiff::civil::{DateTime, Weekday, date};
use std::sync::Arc;

/// One mail before it is written.
#[derive(Debug)]
pub(crate) struct Plan {
    pub seed: u64,
    pub thread: u64,
    topic: usize,
    broker: Option<usize>,
    pub author: Person,
    /// The author works for the broker.
    pub by_broker: bool,
    /// The broker passes on the client's own mail.
    pub forwards: bool,
    pub voice: Voice,
    pub facts: Arc<Facts>,
    /// Local time in Germany.
    pub when: DateTime,
    pub earlier: Option<Arc<Plan>>,
}

impl Plan {
    /// The topic this mail is about.
    pub fn topic(&self) -> &'static Topic {
        &TOPICS[self.topic]
    }

    /// The broker the client belongs to.
    pub fn broker(&self) -> Option<&'static crate::person::Broker> {
        self.broker.map(|number| &BROKERS[number])
    }

    /// The first mail of the thread.
    pub fn root(&self) -> &Plan {
        self.earlier.as_deref().map_or(self, Plan::root)
    }

    /// True when the thread was about another topic before.
    pub fn turns(&self) -> bool {
        self.earlier
            .as_ref()
            .is_some_and(|earlier| earlier.topic != self.topic)
    }

    /// Hours German time is ahead of UTC on that day; summer is April to October.
    pub fn offset_hours(&self) -> i8 {
        if (4..=10).contains(&self.when.month()) {
            2
        } else {
            1
        }
    }

    /// The mail's identifier, without angle brackets.
    pub fn message_id(&self) -> String {
        let host = self
            .author
            .address
            .split_once('@')
            .map_or("depothafen.example", |(_, host)| host);
        format!("{:016x}.{}@{host}", self.seed, self.thread)
    }
}

/// Plans `count` mails, the oldest first.
pub(crate) fn plans(count: usize, seed: u64) -> Vec<Arc<Plan>> {
    let mut planned: Vec<Arc<Plan>> = Vec::with_capacity(count);
    for thread in 0.. {
        if planned.len() >= count {
            break;
        }
        let mut chance = Chance::for_item(seed, thread);
        let first = Arc::new(first(thread, &mut chance));
        let follow_ups = [0, 1, 2, 3][chance.weighted(&[0.73, 0.16, 0.08, 0.03])];
        let mut last = Arc::clone(&first);
        planned.push(first);
        for _ in 0..follow_ups {
            last = Arc::new(next(&last, &mut chance));
            planned.push(Arc::clone(&last));
        }
    }
    planned.truncate(count);
    planned.sort_by_key(|plan| (plan.when, plan.seed));
    planned
}

fn first(thread: u64, chance: &mut Chance) -> Plan {
    let broker = (!chance.odds(0.16)).then(|| {
        let sizes: Vec<f64> = (0..BROKERS.len())
            .map(|rank| 1.0 / (rank as f64 + 2.0).powf(0.8))
            .collect();
        chance.weighted(&sizes)
    });
    let topic = draw_topic(broker, None, chance);
    let topic_entry = &TOPICS[topic];
    let english_share = if broker.is_some_and(|number| BROKERS[number].key == "expatfinance") {
        0.85
    } else {
        0.22
    };
    let language = if chance.odds(english_share) {
        Language::English
    } else {
        Language::German
    };
    let by_broker = broker.is_some() && (topic_entry.brokers_only || chance.odds(0.33));
    let forwards =
        by_broker && !topic_entry.brokers_only && (language == Language::English || chance.odds(0.22));

    let when = arrival(topic_entry, chance);
    let client = Person::client(chance);
    let facts = Arc::new(Facts::new(language, when.date(), client.clone(), chance));
    let author = match broker {
        Some(number) if by_broker => chance.pick(&BROKERS[number].staff).clone(),
        _ => client.clone(),
    };
    let voice = Voice {
        language,
        familiar: chance.odds(0.22),
        proxy: by_broker && !forwards && !topic_entry.brokers_only,
        client_is_woman: client.woman,
    };
    let seed = chance.next();
    Plan {
        seed,
        thread,
        topic,
        broker,
        author,
        by_broker,
        forwards,
        voice,
        facts,
        when,
        earlier: None,
    }
}

/// The next mail of a thread, some days later and sometimes about something else.
fn next(last: &Arc<Plan>, chance: &mut Chance) -> Plan {
    let topic = if chance.odds(0.68) {
        last.topic
    } else {
        draw_topic(last.broker, Some(last), chance)
    };
    let later = Span::new()
        .days(chance.between(1, 12) as i64)
        .minutes(chance.between(0, 400) as i64);
    let when = last.when.saturating_add(later);
    Plan {
        seed: chance.next(),
        thread: last.thread,
        topic,
        broker: last.broker,
        author: last.author.clone(),
        by_broker: last.by_broker,
        forwards: last.forwards && last.voice.language == Language::English,
        voice: Voice {
            proxy: last.by_broker && !TOPICS[topic].brokers_only && last.voice.language == Language::German,
            ..last.voice
        },
        facts: Arc::new(last.facts.on(when.date())),
        when,
        earlier: Some(Arc::clone(last)),
    }
}

/// A topic in proportion to its weight, more often one of the unit the broker's clients write about most.
fn draw_topic(broker: Option<usize>, last: Option<&Arc<Plan>>, chance: &mut Chance) -> usize {
    let weights: Vec<f64> = TOPICS
        .iter()
        .map(|topic| {
            let for_brokers = last.map_or(broker.is_some(), |plan| plan.by_broker && !plan.forwards);
            if topic.brokers_only && !for_brokers {
                return 0.0;
            }
            // English mails on a client's matter come from the client or are forwarded, never in a broker's words.
            let closed = last.is_some_and(|plan| {
                plan.by_broker && !plan.forwards && plan.voice.language == Language::English
            });
            if closed && !topic.brokers_only {
                return 0.0;
            }
            let tilt = broker.is_some_and(|number| BROKERS[number].unit == topic.unit);
            topic.weight * if tilt { 1.8 } else { 1.0 }
        })
        .collect();
    chance.weighted(&weights)
}

/// A time within a year from July 2025, mostly on working days.
fn arrival(topic: &Topic, chance: &mut Chance) -> DateTime {
    let start = date(2025, 7, 1);
    let mut day = start.saturating_add(Span::new().days(chance.below(365) as i64));
    if !topic.months.is_empty() && chance.odds(0.6) {
        let month = *chance.pick(&topic.months);
        let year = if month >= 7 { 2025 } else { 2026 };
        day = date(year, month, chance.between(1, 28) as i8);
    }
    if matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday) && chance.odds(0.6) {
        day = day.saturating_add(Span::new().days(2));
    }
    let by_hour = [
        1.0, 3.0, 6.0, 9.0, 9.0, 7.0, 5.0, 6.0, 7.0, 7.0, 6.0, 5.0, 4.0, 4.0, 4.0, 3.0, 1.0,
    ];
    let hour = 6 + chance.weighted(&by_hour) as i8;
    day.at(hour, chance.below(60) as i8, chance.below(60) as i8, 0)
}
