//! What a mail set promises: repeatable, readable, rightly labelled, not templated.

use mail_parser::MessageParser;
use poststelle_labels::TaskName;
use poststelle_sample::{Mail, generate, schema};
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

static MAILS: LazyLock<Vec<Mail>> = LazyLock::new(|| generate(3000, 7).collect());

/// Letters and digits only, so that wrapping, quoting marks and HTML spacing do not count.
fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

#[test]
fn a_seed_names_the_same_bytes() {
    let again: Vec<Mail> = generate(40, 11).collect();
    assert_eq!(again, generate(40, 11).collect::<Vec<_>>());
    assert_ne!(again, generate(40, 12).collect::<Vec<_>>());
    assert_eq!(again.len(), 40);
}

#[test]
fn every_message_is_read_back_as_it_was_meant() {
    for mail in MAILS.iter() {
        let id = &mail.message_id;
        let message = MessageParser::default().parse(&mail.raw).expect(id);
        assert_eq!(message.message_id(), Some(id.as_str()));
        assert_eq!(
            letters(message.subject().unwrap_or("")),
            letters(&mail.subject),
            "{id}"
        );
        let text = message.body_text(0).expect(id);
        assert!(
            letters(&text).contains(&letters(&mail.request)) || mail.subject.starts_with(['W', 'F']),
            "{id}"
        );
        assert!(!text.contains('\u{fffd}'), "{id} has a broken charset");
        let date = message.date().expect(id).to_rfc3339();
        assert_eq!(date, mail.received_at, "{id}");
    }
}

#[test]
fn forwarded_mails_keep_the_clients_words() {
    let forwarded: Vec<&Mail> = MAILS
        .iter()
        .filter(|mail| ["WG:", "Fwd:", "Fw:"].iter().any(|p| mail.subject.starts_with(p)))
        .collect();
    assert!(forwarded.len() > 50, "{} forwarded", forwarded.len());
    for mail in forwarded {
        let message = MessageParser::default().parse(&mail.raw).expect("a mail");
        let text = letters(&message.body_text(0).expect("a body"));
        for line in mail.request.lines() {
            assert!(text.contains(&letters(line)), "{}", mail.message_id);
        }
    }
}

#[test]
fn labels_stand_in_the_schema_and_agree_with_their_parents() {
    let schema = schema();
    let mut missing = 0;
    for mail in MAILS.iter() {
        let given: HashMap<&TaskName, &str> =
            mail.labels.iter().map(|(task, label)| (task, &**label)).collect();
        missing += schema.tasks().len() - given.len();
        for (task, label) in &given {
            let task = schema.task(task).expect("a task of the schema");
            let class = task.index_of(label).expect("a label of the schema");
            if let Some(parent) = task.parent().and_then(|parent| given.get(parent)) {
                assert_eq!(
                    task.label(class).parent.as_deref(),
                    Some(*parent),
                    "{}",
                    mail.message_id
                );
            }
        }
    }
    let share = missing as f64 / (3 * MAILS.len()) as f64;
    assert!((0.02..0.04).contains(&share), "{share} of the labels are missing");
}

#[test]
fn every_topic_occurs_and_some_are_rare() {
    let schema = schema();
    let task = schema.task(&TaskName::new("topic")).expect("topics");
    let mut counts: HashMap<&str, usize> = task.labels().iter().map(|label| (&*label.name, 0)).collect();
    for mail in MAILS.iter() {
        for (_, label) in mail.labels.iter().filter(|(name, _)| name.as_str() == "topic") {
            *counts.get_mut(label.as_str()).expect("a topic") += 1;
        }
    }
    let least = counts.values().min().copied().unwrap_or(0);
    let most = counts.values().max().copied().unwrap_or(0);
    assert!(
        least >= 4 && counts.values().any(|&n| n <= 20) && most > 100,
        "{counts:?}"
    );
}

#[test]
fn mails_differ_and_come_in_both_languages() {
    let distinct: HashSet<String> = MAILS.iter().map(|mail| letters(&mail.request)).collect();
    assert!(
        distinct.len() * 100 >= MAILS.len() * 97,
        "{} of {} differ",
        distinct.len(),
        MAILS.len()
    );
    let english = MAILS
        .iter()
        .filter(|mail| mail.request.split(' ').any(|word| word == "the"))
        .count();
    assert!((400..1000).contains(&english), "{english} English mails");
    let mut lengths: Vec<usize> = MAILS
        .iter()
        .map(|mail| mail.request.split_whitespace().count())
        .collect();
    lengths.sort_unstable();
    assert!(
        (35..75).contains(&lengths[lengths.len() / 2]),
        "median {} words",
        lengths[lengths.len() / 2]
    );
}

#[test]
fn arrivals_are_in_order_and_threads_hang_together() {
    let keys: Vec<&str> = MAILS.iter().map(|mail| &mail.received_at[..19]).collect();
    assert!(keys.is_sorted());
    let threads: HashSet<&str> = MAILS.iter().map(|mail| &*mail.thread).collect();
    assert!(threads.len() < MAILS.len() * 9 / 10 && threads.len() > MAILS.len() / 2);
    let ids: HashSet<&str> = MAILS.iter().map(|mail| &*mail.message_id).collect();
    assert_eq!(ids.len(), MAILS.len());
}

#[test]
fn an_export_holds_every_mail_and_its_row() {
    let directory = tempfile::tempdir().expect("a directory");
    let exported = poststelle_sample::export(60, 3, directory.path()).expect("an export");
    assert_eq!(exported.count, 60);
    let mbox = std::fs::read(&exported.mails).expect("the mbox");
    let separators = mbox
        .split(|&b| b == b'\n')
        .filter(|line| line.starts_with(b"From "))
        .count();
    assert_eq!(separators, 60);
    let rows = std::fs::read_to_string(&exported.labels).expect("the table");
    assert_eq!(rows.lines().count(), 61);
    let read =
        poststelle_labels::Schema::from_toml(&std::fs::read_to_string(&exported.schema).expect("the schema"));
    assert_eq!(read.expect("a schema"), schema());
    assert!(rows.starts_with("message_id,business_unit,queue,topic,broker,thread,received_at\n"));
}
