//! Trains the linear model: one multinomial logistic regression per task on TF-IDF rows.
//!
//! The problem is convex, so training is a matter of speed, not of luck: [`solver`] climbs its dual one text
//! at a time and stops when the duality gap proves it close to the optimum. A seed only shuffles the texts;
//! the same seed gives the same bits on any number of threads, because a task is solved on one.

mod solver;

use crate::recipe::Weighting;
use poststelle_labels::ClassIndex;
use poststelle_nn::words::{self, Head, SparseRow, Vectorizer, WordsModel};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The bias of a class without a training example: it is never chosen and stays finite.
pub const NEVER: f32 = -30.0;

/// How the linear model learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What counts as a feature.
    pub features: words::Settings,
    /// Weight of the data against the L2 penalty `½‖W‖²`; scikit-learn's `C`. Default 50.
    pub strength: f32,
    /// Value of the constant feature behind the bias; a larger one penalises the bias less. Default 1.
    pub bias: f32,
    /// How labels are weighted. Default `balanced`, which macro-F1 rewards where labels are rare.
    pub weighting: Weighting,
    /// Duality gap, relative to the objective, at which a task is solved. Default 0.01.
    pub tolerance: f64,
    /// Most passes over the texts. Default 50.
    pub max_passes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            features: words::Settings::default(),
            strength: 50.0,
            bias: 1.0,
            weighting: Weighting::Balanced,
            tolerance: 0.01,
            max_passes: 50,
        }
    }
}

/// Where a training stands, told after each pass over a task's texts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// The task, in the order given.
    pub task: usize,
    /// Passes done, from 1.
    pub pass: usize,
    /// The duality gap relative to the objective; training ends at the settings' tolerance.
    pub gap: f64,
}

/// Why a linear model cannot be trained.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum FitError {
    /// A task has more or fewer gold labels than there are texts, or the counts of tasks differ.
    #[error("{what}: found {found}, expected {expected}")]
    Count {
        /// What was counted.
        what: String,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A gold label does not exist.
    #[error("task {task}, example {example}: class {found}, expected one below {classes}")]
    Class {
        /// The task, in the order given.
        task: usize,
        /// The example, from 0.
        example: usize,
        /// The class index found.
        found: usize,
        /// How many classes the task has.
        classes: usize,
    },
    /// A setting is outside its range.
    #[error("linear.{setting}: found {found}, expected {expected}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// Its value.
        found: f64,
        /// What is allowed.
        expected: &'static str,
    },
}

/// Trains one head per task on `texts`.
///
/// `gold[task][example]` is `None` where the example is not labelled for the task; such an example does not
/// take part in it. `classes` holds each task's number of classes. A class without an example gets zero
/// weights and the bias [`NEVER`]; a task without any example does so for all its classes.
///
/// # Errors
/// [`FitError`] if counts or classes disagree or a setting is out of range.
pub fn fit(
    texts: &[&str],
    gold: &[Vec<Option<ClassIndex>>],
    classes: &[usize],
    settings: &Settings,
    seed: u64,
    progress: impl Fn(Progress) + Sync,
) -> Result<WordsModel, FitError> {
    check(texts.len(), gold, classes, settings)?;
    let vectorizer = Vectorizer::fit(texts, &settings.features);
    let rows = vectorizer.transform_all(texts);
    let heads = fit_heads(
        &rows,
        vectorizer.features(),
        gold,
        classes,
        settings,
        seed,
        &progress,
    );
    Ok(WordsModel::new(vectorizer, heads))
}

/// Trains one head per task on rows of `features` features.
fn fit_heads(
    rows: &[SparseRow],
    features: usize,
    gold: &[Vec<Option<ClassIndex>>],
    classes: &[usize],
    settings: &Settings,
    seed: u64,
    progress: &(impl Fn(Progress) + Sync),
) -> Vec<Head> {
    (0..classes.len())
        .into_par_iter()
        .map(|task| {
            let told = |pass, gap| progress(Progress { task, pass, gap });
            fit_head(rows, features, &gold[task], classes[task], settings, seed, told)
        })
        .collect()
}

/// Trains one task's head.
fn fit_head(
    rows: &[SparseRow],
    features: usize,
    gold: &[Option<ClassIndex>],
    classes: usize,
    settings: &Settings,
    seed: u64,
    progress: impl FnMut(usize, f64),
) -> Head {
    // Classes without an example are left out of the problem: nothing would be learnt but their absence.
    let mut counts = vec![0_usize; classes];
    gold.iter()
        .flatten()
        .for_each(|class| counts[class.position()] += 1);
    let present: Vec<usize> = (0..classes).filter(|&class| counts[class] > 0).collect();
    let mut place = vec![usize::MAX; classes];
    present
        .iter()
        .enumerate()
        .for_each(|(i, &class)| place[class] = i);

    let weights = class_weights(&counts, settings.weighting);
    let examples: Vec<solver::Example> = rows
        .iter()
        .zip(gold)
        .filter_map(|(row, gold)| {
            let class = gold.as_ref()?.position();
            let weight = f64::from(settings.strength) * weights[class];
            Some(solver::Example {
                row,
                gold: place[class],
                weight,
            })
        })
        .collect();
    let problem = solver::Problem {
        examples,
        features,
        classes: present.len(),
        bias: settings.bias,
    };
    let solution = problem.solve(settings.tolerance, settings.max_passes, seed, progress);

    let mut matrix = vec![0.0; features * classes];
    let mut bias = vec![NEVER; classes];
    for (i, &class) in present.iter().enumerate() {
        bias[class] = solution.bias[i];
        for feature in 0..features {
            matrix[feature * classes + class] = solution.weights[feature * present.len() + i];
        }
    }
    Head::new(matrix, bias)
}

/// What an example of each class counts; the mean over the labelled examples is 1.
fn class_weights(counts: &[usize], weighting: Weighting) -> Vec<f64> {
    let raw = |count: usize| match weighting {
        Weighting::None => 1.0,
        Weighting::Balanced => 1.0 / count.max(1) as f64,
        Weighting::SqrtBalanced => 1.0 / (count.max(1) as f64).sqrt(),
    };
    let total: usize = counts.iter().sum();
    let mass: f64 = counts.iter().map(|&count| count as f64 * raw(count)).sum();
    let scale = if mass > 0.0 { total as f64 / mass } else { 1.0 };
    counts.iter().map(|&count| raw(count) * scale).collect()
}

/// Refuses counts, classes and settings that cannot be trained on.
fn check(
    texts: usize,
    gold: &[Vec<Option<ClassIndex>>],
    classes: &[usize],
    settings: &Settings,
) -> Result<(), FitError> {
    let count = |what: String, found, expected| {
        Err(FitError::Count {
            what,
            found,
            expected,
        })
    };
    if gold.len() != classes.len() {
        return count("tasks with gold labels".to_owned(), gold.len(), classes.len());
    }
    for (task, (gold, &classes)) in gold.iter().zip(classes).enumerate() {
        if gold.len() != texts {
            return count(format!("gold labels of task {task}"), gold.len(), texts);
        }
        for (example, found) in gold.iter().enumerate() {
            if let Some(found) = found.map(ClassIndex::position).filter(|&found| found >= classes) {
                return Err(FitError::Class {
                    task,
                    example,
                    found,
                    classes,
                });
            }
        }
    }
    let refuse = |setting, found, expected| {
        Err(FitError::Setting {
            setting,
            found,
            expected,
        })
    };
    if !(settings.strength.is_finite() && settings.strength > 0.0) {
        return refuse("strength", settings.strength.into(), "a number above 0");
    }
    if !(settings.bias.is_finite() && settings.bias >= 0.0) {
        return refuse("bias", settings.bias.into(), "a number from 0");
    }
    if !(settings.tolerance.is_finite() && settings.tolerance > 0.0) {
        return refuse("tolerance", settings.tolerance, "a number above 0");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 6] = [
        "Depotübertrag bitte",
        "Übertrag meines Depots",
        "Konto sperren",
        "Karte und Konto sperren",
        "Steuerbescheinigung fehlt",
        "Die Steuerbescheinigung 2025",
    ];

    fn gold(classes: &[i32]) -> Vec<Option<ClassIndex>> {
        classes
            .iter()
            .map(|&c| usize::try_from(c).ok().map(ClassIndex::from))
            .collect()
    }

    fn trained(gold: &[Vec<Option<ClassIndex>>], classes: &[usize]) -> WordsModel {
        fit(&TEXTS, gold, classes, &Settings::default(), 7, |_| ()).unwrap()
    }

    #[test]
    fn learns_each_task_from_its_labelled_texts() {
        let gold = [gold(&[0, 0, 1, 1, 2, 2]), gold(&[-1, 1, -1, 0, -1, -1])];
        let logits = trained(&gold, &[3, 2]).logits(&["Depots", "sperren", "bescheinigung"]);
        let best = |task: usize| -> Vec<_> { (0..3).map(|i| logits[task].softmax(1.0).best(i)).collect() };
        assert_eq!(best(0), [Some(0), Some(1), Some(2)]);
        assert_eq!(best(1)[..2], [Some(1), Some(0)]);
    }

    #[test]
    fn a_class_without_examples_is_finite_and_never_best() {
        let model = trained(&[gold(&[0, 0, 2, 2, 0, 2])], &[4]);
        let logits = &model.logits(&["", TEXTS[0], TEXTS[3]])[0];
        for i in 0..3 {
            assert_eq!((logits.row(i)[1], logits.row(i)[3]), (NEVER, NEVER));
            assert!(logits.row(i).iter().all(|z| z.is_finite()));
        }
        assert!(logits.row(1)[0] > NEVER + 10.0);
    }

    #[test]
    fn all_masked_one_example_and_no_text_still_give_a_model() {
        let model = trained(&[gold(&[-1; 6]), gold(&[-1, -1, 1, -1, -1, -1])], &[2, 2]);
        let logits = model.logits(&["Konto"]);
        assert_eq!(logits[0].row(0), [NEVER, NEVER]);
        assert_eq!(logits[1].row(0), [NEVER, 0.0]);
        let nothing = fit(&[], &[vec![]], &[2], &Settings::default(), 7, |_| ()).unwrap();
        assert_eq!(nothing.logits(&["Konto"])[0].row(0), [NEVER, NEVER]);
    }

    #[test]
    fn the_same_seed_gives_the_same_bits_on_any_number_of_threads() {
        let gold = [gold(&[0, 0, 1, 1, 2, 2]), gold(&[1, 1, 0, 0, 1, 0])];
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| trained(&gold, &[3, 2]))
        };
        let (one, three) = (on(1), on(3));
        assert_eq!(one.heads(), three.heads());
        let other = fit(&TEXTS, &gold, &[3, 2], &Settings::default(), 8, |_| ()).unwrap();
        assert_ne!(one.heads(), other.heads());
    }

    #[test]
    fn saved_and_opened_it_answers_the_same() {
        let model = trained(&[gold(&[0, 0, 1, 1, 2, 2])], &[3]);
        let directory = tempfile::tempdir().unwrap();
        model.save(directory.path()).unwrap();
        let opened = WordsModel::open(directory.path()).unwrap();
        assert_eq!(opened.logits(&TEXTS), model.logits(&TEXTS));
    }

    #[test]
    fn class_weights_average_one_over_the_examples() {
        for weighting in [Weighting::None, Weighting::Balanced, Weighting::SqrtBalanced] {
            let counts = [1, 9, 0, 90];
            let weights = class_weights(&counts, weighting);
            let mean: f64 = counts
                .iter()
                .zip(&weights)
                .map(|(&n, w)| n as f64 * w)
                .sum::<f64>()
                / 100.0;
            assert!((mean - 1.0).abs() < 1e-12);
        }
        let balanced = class_weights(&[1, 9], Weighting::Balanced);
        assert!((balanced[0] / balanced[1] - 9.0).abs() < 1e-12);
    }

    #[test]
    fn refuses_what_does_not_fit_and_says_where() {
        let try_fit = |gold: &[Vec<Option<ClassIndex>>], classes: &[usize], settings: &Settings| {
            fit(&TEXTS, gold, classes, settings, 7, |_| ()).unwrap_err()
        };
        let usual = Settings::default();
        assert_eq!(
            try_fit(&[gold(&[0, 1, 0, 5, 0, 0])], &[2], &usual).to_string(),
            "task 0, example 3: class 5, expected one below 2"
        );
        assert!(matches!(
            try_fit(&[gold(&[0])], &[2], &usual),
            FitError::Count {
                found: 1,
                expected: 6,
                ..
            }
        ));
        assert!(matches!(
            try_fit(&[], &[2], &usual),
            FitError::Count {
                found: 0,
                expected: 1,
                ..
            }
        ));
        let none = Settings {
            strength: 0.0,
            ..usual
        };
        assert!(matches!(
            try_fit(&[gold(&[0; 6])], &[2], &none),
            FitError::Setting {
                setting: "strength",
                ..
            }
        ));
    }
}
