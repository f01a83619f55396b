//! The laws of splits.
#![allow(clippy::unwrap_used, reason = "a test stops where its own files fail")]

use jiff::Timestamp;
use poststelle_corpus::split::{Order, Part, Row, Settings, SplitError, families, split};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// What a row is made of.
#[derive(Debug, Clone)]
struct Mail {
    text: String,
    label: Option<String>,
    thread: Option<String>,
    group: Option<String>,
    received_at: Timestamp,
}

fn rows(mails: &[Mail]) -> Vec<Row<'_>> {
    fn row(mail: &Mail) -> Row<'_> {
        let Mail {
            text,
            label,
            thread,
            group,
            received_at,
        } = mail;
        Row {
            text,
            label: label.as_deref(),
            thread: thread.as_deref(),
            group: group.as_deref(),
            received_at: Some(*received_at),
        }
    }
    mails.iter().map(row).collect()
}

fn settings(order: Order) -> Settings {
    Settings {
        test: 0.15,
        validation: 0.13,
        seed: 13,
        order,
        similar: None,
    }
}

/// A text spelled from a number: equal numbers, equal texts.
fn text(n: usize) -> String {
    letters(n)
}

prop_compose! {
    fn mail()(
        seed in 0usize..400, label in prop::option::of("[a-d]"), thread in prop::option::of("[a-z]"),
        group in prop::option::of("[a-z][a-d]"), day in 0i64..300,
    ) -> Mail {
        Mail { text: text(seed), label, thread, group, received_at: Timestamp::from_second(day * 86_400).unwrap() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No family straddles a split, every row lies in one part, and the same input gives the same split.
    #[test]
    fn families_stay_whole(mails in prop::collection::vec(mail(), 40..120), by_date in any::<bool>()) {
        let rows = rows(&mails);
        let settings = settings(if by_date { Order::ByDate } else { Order::Stratified });
        let Ok(result) = split(&rows, &settings) else {
            prop_assert!(families(&rows, None).members().len() < 3);
            return Ok(());
        };
        prop_assert_eq!(result.parts.len(), rows.len());
        for members in result.families.members() {
            let parts: BTreeSet<Part> = members.iter().map(|row| result.parts[*row]).collect();
            prop_assert_eq!(parts.len(), 1);
        }
        for (a, first) in rows.iter().enumerate() {
            for (b, second) in rows.iter().enumerate() {
                let thread = first.thread.is_some() && first.thread == second.thread;
                let group = first.group.is_some() && first.group == second.group;
                if thread || group || first.text == second.text {
                    prop_assert_eq!(result.parts[a], result.parts[b]);
                }
            }
        }
        let mut all: Vec<usize> = Part::ALL.iter().flat_map(|part| result.rows(*part)).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..rows.len()).collect::<Vec<_>>());
        prop_assert_eq!(result.report.grouped.seen_in_train.unwrap_or(0.0), 0.0);
        prop_assert_eq!(split(&rows, &settings).unwrap().parts, result.parts);
    }
}

/// 600 mails, each a family of its own, four labels, one of them rare.
fn plain() -> Vec<Mail> {
    let mail = |n: usize| Mail {
        text: (0..12)
            .map(|word| {
                format!("w{}", (n * 31 + word * word * 17) % 9973).replace(|c: char| c.is_ascii_digit(), "")
            })
            .collect::<Vec<_>>()
            .join(" ")
            + &letters(n),
        label: Some(
            if n % 200 == 7 {
                "selten"
            } else {
                ["a", "b", "c"][n % 3]
            }
            .to_owned(),
        ),
        thread: None,
        group: None,
        received_at: Timestamp::from_second(n as i64 * 3600).unwrap(),
    };
    (0..600).map(mail).collect()
}

/// Words spelled from a number, so that digits do not count as equal.
fn letters(n: usize) -> String {
    let spell = |mut n: usize| {
        let mut word = String::new();
        for _ in 0..6 {
            word.push((b'a' + (n % 26) as u8) as char);
            n = n / 26 + n * 7;
        }
        word
    };
    (0..20)
        .map(|word| format!(" {}", spell(n * 7919 + word * 104_729)))
        .collect()
}

#[test]
fn shares_are_met_and_a_rare_label_reaches_every_part() {
    let mails = plain();
    let rows = rows(&mails);
    let split = split(&rows, &settings(Order::Stratified)).unwrap();
    let report = &split.report;
    assert_eq!((report.rows, report.families, report.beyond_first), (600, 600, 0));
    for (part, share) in report.parts.iter().zip([0.72, 0.13, 0.15]) {
        assert!((part.share - share).abs() < 0.01, "{part:?}");
        assert!(part.missing_labels.is_empty(), "{part:?}");
    }
    let test = |label| {
        split
            .rows(Part::Test)
            .filter(|row| rows[*row].label == Some(label))
            .count()
    };
    assert!(
        ["a", "b", "c"]
            .into_iter()
            .all(|label| (28..=32).contains(&test(label)))
    );
}

#[test]
fn by_date_the_newest_are_tested() {
    let mails = plain();
    let split = split(&rows(&mails), &settings(Order::ByDate)).unwrap();
    let [train, validation, test] = &split.report.parts[..] else {
        panic!("three parts")
    };
    assert!(train.to < validation.from && validation.to < test.from);
    assert_eq!((validation.rows, test.rows), (78, 90));
}

#[test]
fn by_date_undated_mails_are_trained_on() {
    let mails = plain();
    let mut rows = rows(&mails);
    rows[599].received_at = None;
    let split = split(&rows, &settings(Order::ByDate)).unwrap();
    assert_eq!((split.parts[599], split.parts[598]), (Part::Train, Part::Test));
    assert_eq!(split.report.parts[0].undated, 1);
}

#[test]
fn the_report_says_what_a_random_split_flatters() {
    let mut mails = plain();
    // Every mail twice, the copy with one more word; labels by chance, so only memory can know them.
    for n in 0..600 {
        let mut copy = mails[n].clone();
        copy.text += " nochmals";
        mails.push(copy);
    }
    for (n, mail) in mails.iter_mut().enumerate() {
        mail.label = Some(["a", "b", "c"][(n % 600) * 7919 / 13 % 3].to_owned());
    }
    let report = split(&rows(&mails), &settings(Order::Stratified)).unwrap().report;
    assert_eq!(
        (report.families, report.beyond_first, report.largest_family),
        (600, 600, 2)
    );
    assert_eq!(report.grouped.seen_in_train, Some(0.0));
    let random = report.random.seen_in_train.unwrap();
    assert!((0.62..0.82).contains(&random), "{random}");
    assert!(report.flattered().unwrap() > 0.3, "{report:?}");
}

#[test]
fn refuses_wrong_shares_missing_dates_and_too_few_families() {
    let mails = plain();
    let mut rows = rows(&mails);
    let with = |test, validation| Settings {
        test,
        validation,
        seed: 1,
        order: Order::Stratified,
        similar: None,
    };
    for (test, validation) in [(0.6, 0.4), (-0.1, 0.1), (1.0, 0.0), (f64::NAN, 0.1)] {
        assert!(matches!(
            split(&rows, &with(test, validation)),
            Err(SplitError::Shares { .. })
        ));
    }
    assert!(matches!(
        split(&rows[..2], &with(0.2, 0.2)),
        Err(SplitError::TooFew {
            families: 2,
            parts: 3
        })
    ));
    assert!(split(&rows[..2], &with(0.5, 0.0)).is_ok());
    let similar = Settings {
        similar: Some(0.0),
        ..with(0.2, 0.2)
    };
    assert!(matches!(split(&rows, &similar), Err(SplitError::Similar { .. })));
    for row in &mut rows {
        row.received_at = None;
    }
    let error = split(&rows, &settings(Order::ByDate)).unwrap_err();
    assert!(matches!(error, SplitError::NoDate { rows: 600 }));
}

#[test]
fn paraphrases_are_one_family_when_asked() {
    let mut mails = plain();
    mails.truncate(60);
    for (n, text) in [
        "Depotübertrag Sparkasse Wertpapiere verschieben",
        "Wertpapiere bitte verschieben: Depotübertrag",
    ]
    .into_iter()
    .enumerate()
    {
        mails[n].text = text.to_owned();
    }
    let rows = rows(&mails);
    assert_eq!(families(&rows, None).members().len(), 60);
    assert_eq!(families(&rows, Some(0.35)).members().len(), 59);
}
