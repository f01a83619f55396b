//! A model that reads labels off the text, and notes what it was asked.

#![allow(dead_code, reason = "each test file uses its part")]

use poststelle_labels::{Label, Schema, Task, TaskName};
use poststelle_mail::{Cleaner, Profile};
use poststelle_measure::Bands;
use poststelle_nn::Logits;
use poststelle_nn::bundle::Encoded;
use poststelle_nn::encode::Encoding;
use poststelle_nn::threads;
use poststelle_predict::{Classify, ModelError, Policy, Prediction, Predictor, TaskPolicy};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Scores a label 4 for each time a text names it. A word is a token. A text with `explode` panics in scoring, one with
/// `garbled` in encoding; one with `held` is scored when the [`Notes`] let go, one with `together` when all threads have come, and one
/// with `slowly` takes 20 ms to encode.
pub struct Naming {
    schema: Schema,
    pub notes: Arc<Notes>,
}

/// A batch as the model saw it.
#[derive(Debug, Clone)]
pub struct Batch {
    pub texts: Vec<String>,
    pub tokens: usize,
    /// Threads it could have used.
    pub threads: usize,
}

/// What a model was asked; holds it back until told otherwise.
#[derive(Default)]
pub struct Notes {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
pub struct Seen {
    /// In the order scoring began.
    pub batches: Vec<Batch>,
    /// Texts encoded.
    pub encoded: Vec<String>,
    /// Batches that may pass with a held text.
    passes: usize,
}

impl Notes {
    /// Waits until the model has seen what `enough` looks for.
    pub fn wait(&self, enough: impl Fn(&Seen) -> bool) {
        let seen = self.seen.lock().unwrap();
        drop(self.changed.wait_while(seen, |seen| !enough(seen)).unwrap());
    }

    /// Lets so many batches with a held text go on.
    pub fn release(&self, batches: usize) {
        self.change(|seen| seen.passes += batches);
    }

    pub fn batches(&self) -> Vec<Batch> {
        self.seen.lock().unwrap().batches.clone()
    }

    pub fn encoded(&self) -> Vec<String> {
        self.seen.lock().unwrap().encoded.clone()
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap());
        self.changed.notify_all();
    }

    fn pass(&self) {
        let seen = self.seen.lock().unwrap();
        let mut seen = self.changed.wait_while(seen, |seen| seen.passes == 0).unwrap();
        seen.passes -= 1;
    }
}

impl Naming {
    pub fn new() -> Self {
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
            notes: Arc::default(),
        }
    }

    pub fn predictor(self) -> Predictor {
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

    fn encode(&self, text: String) -> Result<Encoded, ModelError> {
        assert!(!text.contains("garbled"), "told to");
        if text.contains("slowly") {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.notes.change(|seen| seen.encoded.push(text.clone()));
        let words = Encoding {
            ids: text.split_whitespace().map(|_| 1).collect(),
            truncated: false,
        };
        Ok(Encoded::new(text, Some(words)))
    }

    fn logits(&self, encoded: &[&Encoded]) -> Result<Vec<Logits>, ModelError> {
        let texts: Vec<String> = encoded.iter().map(|one| one.text().to_owned()).collect();
        let batch = Batch {
            texts: texts.clone(),
            tokens: encoded.iter().map(|one| one.tokens()).sum(),
            threads: threads::available(),
        };
        self.notes.change(|seen| seen.batches.push(batch));
        assert!(!texts.iter().any(|text| text.contains("explode")), "told to");
        if texts.iter().any(|text| text.contains("held")) {
            self.notes.pass();
        }
        if texts.iter().any(|text| text.contains("together")) {
            meet();
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

/// Fails unless all threads of this pool come here at one time.
fn meet() {
    let (threads, here) = (rayon::current_num_threads(), AtomicUsize::new(0));
    let wait = || {
        here.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        while here.load(Ordering::Relaxed) < threads {
            assert!(begun.elapsed() < Duration::from_secs(30), "nobody helps");
            std::thread::yield_now();
        }
    };
    rayon::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| wait());
        }
        wait();
    });
}

/// The name of the label a prediction chose for a task.
pub fn label(predictor: &Predictor, prediction: &Prediction, task: usize) -> String {
    let answer = prediction.answers[task].as_ref().unwrap();
    predictor.schema().tasks()[task].label(answer.class).name.clone()
}
