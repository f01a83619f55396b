//! A queue over a predictor over a model of ten lines.

#![allow(clippy::unwrap_used, reason = "a test's own model and channels")]

mod naming;

use naming::{Batch, Naming, Notes, label};
use poststelle_predict::{Limits, Mail, Pending, Prediction, Queue, QueueError};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

type Answer = Receiver<Result<Vec<Prediction>, QueueError>>;

const LONG: Duration = Duration::from_secs(60);

fn submit(queue: &Queue, mails: Vec<Mail>, within: Duration) -> Result<(Pending, Answer), QueueError> {
    let (send, receive) = channel();
    let pending = queue.submit(mails, Instant::now() + within, move |result| {
        drop(send.send(result))
    })?;
    Ok((pending, receive))
}

/// Submits one mail.
fn ask(queue: &Queue, text: &str) -> (Pending, Answer) {
    submit(queue, vec![Mail::new("", text)], LONG).unwrap()
}

fn numbered(number: usize) -> Mail {
    Mail::new("", format!("the number is n{number:02}"))
}

fn start(workers: usize, batch_tokens: usize) -> (Queue, Arc<Notes>) {
    let naming = Naming::new();
    let notes = Arc::clone(&naming.notes);
    let limits = Limits {
        batch_tokens,
        workers,
        ..Limits::default()
    };
    (
        Queue::start(Arc::new(naming.predictor()), limits, Arc::new(())),
        notes,
    )
}

fn find<'a>(batches: &'a [Batch], text: &str) -> (usize, &'a Batch) {
    let mut all = batches.iter().enumerate();
    all.find(|(_, batch)| batch.texts.iter().any(|one| one.contains(text)))
        .unwrap()
}

#[test]
fn a_lone_mail_takes_all_cores() {
    let (queue, notes) = start(3, 512);
    for _ in 0..3 {
        let (_pending, answer) = ask(&queue, "the number is n07");
        answer.recv().unwrap().unwrap();
    }
    assert_eq!(
        notes
            .batches()
            .iter()
            .map(|batch| batch.threads)
            .collect::<Vec<_>>(),
        [3, 3, 3]
    );
}

#[test]
fn everyone_helps_with_a_lone_mail_however_long_it_is_read() {
    let (queue, _) = start(3, 512);
    for text in ["together n01", "slowly read, together n02", "together n03"] {
        let (_pending, answer) = ask(&queue, text);
        answer.recv().unwrap().unwrap();
    }
}

#[test]
fn a_lone_worker_computes_on_its_own_thread() {
    let (queue, notes) = start(1, 512);
    let (_pending, answer) = ask(&queue, "the number is n07");
    answer.recv().unwrap().unwrap();
    assert!(notes.batches().iter().all(|batch| batch.threads == 1));
}

#[test]
fn waiting_mails_take_one_core_a_batch() {
    let (queue, notes) = start(2, 4);
    let first = ask(&queue, "held alone n01");
    notes.wait(|seen| seen.batches.len() == 1);
    // While the cores are shared, what arrives is read but not computed.
    let second = ask(&queue, "held second n02");
    let third = ask(&queue, "held third n03");
    notes.wait(|seen| seen.encoded.len() == 3);
    assert_eq!(notes.batches().len(), 1);
    notes.release(1);
    // Both are computed at the same time, for neither can end before it is released.
    notes.wait(|seen| seen.batches.len() == 3);
    notes.release(2);
    for (_pending, answer) in [first, second, third] {
        answer.recv().unwrap().unwrap();
    }
    let batches = notes.batches();
    assert_eq!(find(&batches, "alone").1.threads, 2);
    assert_eq!(
        (
            find(&batches, "second").1.threads,
            find(&batches, "third").1.threads
        ),
        (1, 1)
    );
}

#[test]
fn a_big_job_does_not_hold_up_a_small_one() {
    let (queue, notes) = start(1, 8);
    let first = ask(&queue, "held");
    notes.wait(|seen| seen.batches.len() == 1);
    let big = submit(&queue, (0..20).map(numbered).collect(), LONG).unwrap();
    let small = ask(&queue, "tax");
    notes.release(1);
    for (_pending, answer) in [first, big, small] {
        answer.recv().unwrap().unwrap();
    }
    let batches = notes.batches();
    assert!(batches.iter().all(|batch| batch.tokens <= 8));
    let (at, _) = find(&batches, "tax");
    assert!(at <= 2, "the small job came in batch {at} of {}", batches.len());
}

#[test]
fn refuses_what_does_not_fit_and_answers_nothing_to_nobody() {
    let limits = Limits {
        waiting_bytes: 1000,
        ..Limits::default()
    };
    let queue = Queue::start(Arc::new(Naming::new().predictor()), limits, Arc::new(()));
    let refused = submit(&queue, vec![Mail::new("", "x".repeat(1001))], LONG).map(drop);
    assert_eq!(
        refused,
        Err(QueueError::Full {
            waiting: 0,
            found: 1001,
            most: 1000
        })
    );
    let (_pending, answer) = submit(&queue, vec![], LONG).unwrap();
    assert_eq!(answer.recv().unwrap(), Ok(vec![]));
}

#[test]
fn deadlines_panics_and_leaving_callers_harm_nobody_else() {
    let (queue, notes) = start(1, 4);
    let held = ask(&queue, "held");
    notes.wait(|seen| seen.batches.len() == 1);
    let late = submit(&queue, vec![numbered(1)], Duration::ZERO).unwrap();
    let (gone, gone_answer) = ask(&queue, "gone");
    drop(gone);
    let unread = submit(&queue, vec![numbered(2), Mail::new("", "garbled")], LONG).unwrap();
    let bad = vec![numbered(3), Mail::new("", "explode"), numbered(4)];
    let bad = submit(&queue, bad, LONG).unwrap();
    let good = submit(&queue, vec![numbered(5)], LONG).unwrap();
    notes.release(1);
    let panicked = Err(QueueError::Failed {
        reason: "it panicked".into(),
    });
    assert!(held.1.recv().unwrap().is_ok());
    assert_eq!(late.1.recv().unwrap(), Err(QueueError::Late));
    assert_eq!(unread.1.recv().unwrap(), panicked);
    assert_eq!(bad.1.recv().unwrap(), panicked);
    assert!(good.1.recv().unwrap().is_ok());
    assert!(gone_answer.recv().is_err(), "a job given up is not answered");
    drop(queue);
    assert!(!notes.encoded().iter().any(|text| text.contains("gone")));
}

#[test]
fn a_shared_batch_that_panics_gives_the_cores_back() {
    let (queue, notes) = start(2, 512);
    let (_pending, answer) = ask(&queue, "explode");
    assert!(answer.recv().unwrap().is_err());
    let (_pending, answer) = ask(&queue, "the number is n07");
    assert!(answer.recv().unwrap().is_ok());
    assert_eq!(find(&notes.batches(), "n07").1.threads, 2);
}

#[test]
fn closing_lets_waiting_jobs_finish() {
    let (queue, notes) = start(2, 4);
    let held = ask(&queue, "held");
    notes.wait(|seen| seen.batches.len() == 1);
    let next = submit(&queue, (0..10).map(numbered).collect(), LONG).unwrap();
    notes.release(1);
    drop(queue);
    assert!(held.1.recv().unwrap().is_ok());
    assert_eq!(next.1.recv().unwrap().unwrap().len(), 10);
}

#[test]
fn callers_at_the_same_time_get_their_own_answers() {
    let predictor = Arc::new(Naming::new().predictor());
    let limits = Limits {
        batch_tokens: 28,
        workers: 3,
        ..Limits::default()
    };
    let queue = Arc::new(Queue::start(Arc::clone(&predictor), limits, Arc::new(())));
    let wrong = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for caller in 0..8 {
            let (queue, predictor, wrong) = (&queue, &predictor, &wrong);
            scope.spawn(move || {
                for round in 0..12 {
                    let numbers: Vec<usize> = (0..1 + (caller * 5 + round) % 23)
                        .map(|at| (at * 7 + caller * 13 + round) % 100)
                        .collect();
                    let mails = numbers.iter().map(|&number| numbered(number)).collect();
                    let (_pending, answer) = submit(queue, mails, LONG).unwrap();
                    let predictions = answer.recv().unwrap().unwrap();
                    assert_eq!(predictions.len(), numbers.len());
                    for (prediction, number) in predictions.iter().zip(numbers) {
                        let right = label(predictor, prediction, 2) == format!("n{number:02}");
                        wrong.fetch_add(usize::from(!right), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(wrong.load(Ordering::Relaxed), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is asked together: every mail is computed once, every answer is its own mail's, and no batch is over the
    /// budget unless it is one mail.
    #[test]
    fn batches_keep_the_budget_and_answers_their_mails(
        jobs in prop::collection::vec(prop::collection::vec((0usize..100, 0usize..40), 0..30), 1..12),
        workers in 1usize..4,
        batch_tokens in 1usize..120,
    ) {
        let naming = Naming::new();
        let notes = Arc::clone(&naming.notes);
        let predictor = Arc::new(naming.predictor());
        let limits = Limits { batch_tokens, workers, ..Limits::default() };
        let queue = Queue::start(Arc::clone(&predictor), limits, Arc::new(()));
        let waiting: Vec<_> = jobs
            .iter()
            .map(|job| {
                let mail = |&(number, words): &(usize, usize)| {
                    Mail::new("", format!("the number is n{number:02} {}", "wort ".repeat(words)))
                };
                submit(&queue, job.iter().map(mail).collect(), LONG).unwrap()
            })
            .collect();
        for ((_pending, answer), job) in waiting.iter().zip(&jobs) {
            let predictions = answer.recv().unwrap().unwrap();
            let numbers: Vec<String> = predictions.iter().map(|one| label(&predictor, one, 2)).collect();
            let expected: Vec<String> = job.iter().map(|(number, _)| format!("n{number:02}")).collect();
            prop_assert_eq!(numbers, expected);
        }
        let batches = notes.batches();
        let computed: usize = batches.iter().map(|batch| batch.texts.len()).sum();
        prop_assert_eq!(computed, jobs.iter().map(Vec::len).sum::<usize>());
        for batch in batches {
            prop_assert!(batch.tokens <= batch_tokens || batch.texts.len() == 1, "{batch:?} of {batch_tokens}");
            prop_assert!(batch.threads == 1 || batch.threads == workers);
        }
    }
}
