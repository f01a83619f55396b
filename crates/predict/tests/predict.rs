//! A predictor over a model of ten lines, and a queue over the predictor.

#![allow(clippy::unwrap_used, reason = "a test's own model and channels")]

use poststelle_labels::{Label, Schema, Task, TaskName};
use poststelle_mail::{Cleaner, Profile};
use poststelle_measure::Bands;
use poststelle_nn::Logits;
use poststelle_predict::{
    Classify, Content, Decision, Limits, Mail, ModelError, Pending, Policy, Prediction, Predictor, Queue,
    QueueError, TaskPolicy,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Scores a label 4 for each time a text names it, and notes what it was asked.
struct Naming {
    schema: Schema,
    batches: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Naming {
    fn new() -> Self {
        let label = |name: &str, parent: Option<&str>| Label {
            parent: parent.map(str::to_owned),
            ..Label::named(name)
        };
        let unit = vec![label("brokerage", None), label("wealth", None)];
        let queue = vec![
            label("tax", Some("brokerage")),
            label("trade", Some("brokerage")),
            label("fees", Some("wealth")),
        ];
        let digit = (0..100)
            .map(|number| label(&format!("n{number:02}"), None))
            .collect();
        let task = |name: &str, parent: Option<&str>, labels| {
            Task::new(TaskName::new(name), parent.map(TaskName::new), labels).unwrap()
        };
        let tasks = vec![
            task("unit", None, unit),
            task("queue", Some("unit"), queue),
            task("number", None, digit),
        ];
        Self {
            schema: Schema::new(1, tasks).unwrap(),
            batches: Arc::default(),
        }
    }

    fn predictor(self) -> Predictor {
        let bands = Bands {
            auto: Some(0.9),
            suggest: Some(0.6),
        };
        let policy = Policy::new(&self.schema, |_| {
            Some(TaskPolicy {
                temperature: 1.0,
                bands,
            })
        })
        .unwrap();
        Predictor::new(self, Cleaner::new(Profile::Request), policy)
    }
}

impl Classify for Naming {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn logits(&self, texts: &[&str]) -> Result<Vec<Logits>, ModelError> {
        self.batches
            .lock()
            .unwrap()
            .push(texts.iter().map(|text| (*text).to_owned()).collect());
        assert!(!texts.iter().any(|text| text.contains("explode")), "told to");
        if texts.iter().any(|text| text.contains("slowly")) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let score = |task: &Task| {
            let values = texts.iter().flat_map(|text| {
                task.labels()
                    .iter()
                    .map(|label| 4.0 * text.matches(&label.name).count() as f32)
            });
            Logits::new(texts.len(), task.len(), values.collect())
        };
        Ok(self.schema.tasks().iter().map(score).collect())
    }
}

fn label(predictor: &Predictor, prediction: &Prediction, task: usize) -> String {
    let answer = prediction.answers[task].as_ref().unwrap();
    predictor.schema().tasks()[task].label(answer.class).name.clone()
}

#[test]
fn labels_agree_and_confidence_is_the_heads_own() {
    let predictor = Naming::new().predictor();
    // The unit head leans to brokerage, the queue head insists on fees, which is a queue of wealth.
    let predictions = predictor
        .predict(&[Mail::new("brokerage", "fees fees fees")])
        .unwrap();
    assert_eq!(label(&predictor, &predictions[0], 0), "wealth");
    assert_eq!(label(&predictor, &predictions[0], 1), "fees");
    let unit = predictions[0].answers[0].as_ref().unwrap();
    assert!((unit.confidence - 1.0 / (1.0 + 4f32.exp())).abs() < 1e-6);
    assert_eq!(unit.decision, Decision::Ask);
    assert_eq!(unit.top[0].0, unit.class);
    assert!(unit.top[1].1 > unit.top[0].1);
    let json = serde_json::to_value(predictions[0].named(predictor.schema())).unwrap();
    assert_eq!(json["queue"]["label"], "fees");
    assert_eq!(json["queue"]["decision"], "auto");
    assert_eq!(json["queue"]["top"].as_array().unwrap().len(), 3);
}

#[test]
fn an_empty_mail_is_asked_with_the_models_own_confidence() {
    let predictor = Naming::new().predictor();
    let mut mail = Mail::new(" ", "\n\n");
    mail.broker = Some("tax tax tax".into());
    for answer in predictor.predict(&[mail]).unwrap()[0].answers.iter().flatten() {
        assert_eq!(answer.decision, Decision::Ask);
    }
    let texts = predictor.predict_texts(&[""]).unwrap();
    assert!((texts[0].answers[0].as_ref().unwrap().confidence - 0.5).abs() < 1e-6);
    assert!(predictor.predict_texts(&[]).unwrap().is_empty());
}

#[test]
fn raw_messages_are_parsed() {
    let predictor = Naming::new().predictor();
    let raw = b"Subject: trade\r\nContent-Type: text/plain\r\n\r\nbrokerage\r\n".to_vec();
    let mail = Mail {
        content: Content::Raw(raw),
        broker: None,
    };
    assert_eq!(format!("{mail:?}"), "Mail[55 bytes]");
    assert_eq!(
        label(&predictor, &predictor.predict(&[mail]).unwrap()[0], 1),
        "trade"
    );
}

type Answer = Receiver<Result<Vec<Prediction>, QueueError>>;

fn submit(queue: &Queue, mails: Vec<Mail>, within: Duration) -> Result<(Pending, Answer), QueueError> {
    let (send, receive) = channel();
    let pending = queue.submit(mails, Instant::now() + within, move |result| {
        drop(send.send(result))
    })?;
    Ok((pending, receive))
}

const LONG: Duration = Duration::from_secs(60);

fn numbered(number: usize) -> Mail {
    Mail::new("", format!("the number is n{number:02}"))
}

#[test]
fn answers_are_never_crossed() {
    let predictor = Arc::new(Naming::new().predictor());
    let limits = Limits {
        batch_mails: 7,
        workers: 3,
        ..Limits::default()
    };
    let queue = Arc::new(Queue::start(Arc::clone(&predictor), limits));
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

#[test]
fn a_big_job_does_not_hold_up_a_small_one() {
    let naming = Naming::new();
    let batches = Arc::clone(&naming.batches);
    let limits = Limits {
        batch_mails: 2,
        workers: 1,
        ..Limits::default()
    };
    let queue = Queue::start(Arc::new(naming.predictor()), limits);
    let (_first, first) = submit(&queue, vec![Mail::new("", "slowly")], LONG).unwrap();
    let (_big, big) = submit(&queue, (0..20).map(numbered).collect(), LONG).unwrap();
    let (_small, small) = submit(&queue, vec![Mail::new("", "tax")], LONG).unwrap();
    for answer in [first, big, small] {
        answer.recv().unwrap().unwrap();
    }
    let batches = batches.lock().unwrap();
    assert!(batches.iter().all(|batch| batch.len() <= 2));
    let at = batches
        .iter()
        .position(|batch| batch.iter().any(|text| text.contains("tax")))
        .unwrap();
    assert!(at <= 2, "the small job came in batch {at} of {}", batches.len());
}

#[test]
fn refuses_what_does_not_fit_and_answers_nothing_to_nobody() {
    let limits = Limits {
        waiting_bytes: 1000,
        workers: 1,
        ..Limits::default()
    };
    let queue = Queue::start(Arc::new(Naming::new().predictor()), limits);
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
    let naming = Naming::new();
    let batches = Arc::clone(&naming.batches);
    let limits = Limits {
        batch_mails: 1,
        workers: 1,
        ..Limits::default()
    };
    let queue = Queue::start(Arc::new(naming.predictor()), limits);
    let (_slow, slow) = submit(&queue, vec![Mail::new("", "slowly")], LONG).unwrap();
    let (_late, late) = submit(&queue, vec![numbered(1)], Duration::ZERO).unwrap();
    let (gone, gone_answer) = submit(&queue, vec![Mail::new("", "gone")], LONG).unwrap();
    drop(gone);
    let (_bad, bad) = submit(
        &queue,
        vec![numbered(3), Mail::new("", "explode"), numbered(4)],
        LONG,
    )
    .unwrap();
    let (_good, good) = submit(&queue, vec![numbered(5)], LONG).unwrap();
    assert!(slow.recv().unwrap().is_ok());
    assert_eq!(late.recv().unwrap(), Err(QueueError::Late));
    assert_eq!(
        bad.recv().unwrap(),
        Err(QueueError::Failed {
            reason: "it panicked".into()
        })
    );
    assert!(good.recv().unwrap().is_ok());
    assert!(gone_answer.recv().is_err(), "a job given up is not answered");
    drop(queue);
    assert!(
        !batches
            .lock()
            .unwrap()
            .iter()
            .flatten()
            .any(|text| text.contains("gone"))
    );
}

#[test]
fn closing_lets_waiting_jobs_finish() {
    let queue = Queue::start(
        Arc::new(Naming::new().predictor()),
        Limits {
            workers: 1,
            ..Limits::default()
        },
    );
    let (_slow, slow) = submit(&queue, vec![Mail::new("", "slowly")], LONG).unwrap();
    let (_next, next) = submit(&queue, vec![numbered(9)], LONG).unwrap();
    drop(queue);
    assert!(slow.recv().unwrap().is_ok() && next.recv().unwrap().is_ok());
}
