//! The numbers here equal those of scikit-learn and SciPy, recorded by `fixtures/measure/record.py`.

#![allow(
    clippy::unwrap_used,
    reason = "the recording is ours; a gap in it should fail the test"
)]

use poststelle_measure::{
    Confusion, Judged, Rows, Scores, expected_calibration_error, fit_temperature, precision_lower_bound,
};
use serde_json::Value;

fn recorded() -> Value {
    serde_json::from_str(include_str!("../../../fixtures/measure/parity.json")).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    let list = value[key].as_array().unwrap();
    assert!(!list.is_empty(), "{key} is empty");
    list
}

fn classes(value: &Value, key: &str) -> Vec<usize> {
    list(value, key)
        .iter()
        .map(|class| class.as_u64().unwrap() as usize)
        .collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[track_caller]
fn near(ours: f64, theirs: &Value, tolerance: f64) {
    let theirs = number(theirs);
    assert!(
        (ours - theirs).abs() <= tolerance,
        "{ours} here, {theirs} recorded"
    );
}

#[test]
fn scores_equal_classification_report() {
    let recorded = recorded();
    for case in list(&recorded, "scores") {
        let gold: Vec<_> = classes(case, "gold").into_iter().map(Some).collect();
        let width = case["classes"].as_u64().unwrap() as usize;
        let confusion = Confusion::count(width, &gold, &classes(case, "predicted")).unwrap();
        assert_eq!(serde_json::to_value(&confusion).unwrap(), case["confusion"]);
        let scores = Scores::of(&confusion).unwrap();
        near(scores.accuracy, &case["accuracy"], 1e-12);
        near(scores.macro_precision, &case["macro"]["precision"], 1e-12);
        near(scores.macro_recall, &case["macro"]["recall"], 1e-12);
        near(scores.macro_f1, &case["macro"]["f1-score"], 1e-12);
        near(scores.weighted_precision, &case["weighted"]["precision"], 1e-12);
        near(scores.weighted_recall, &case["weighted"]["recall"], 1e-12);
        near(scores.weighted_f1, &case["weighted"]["f1-score"], 1e-12);
        for (class, theirs) in case["labels"].as_object().unwrap() {
            let ours = scores.labels[class.parse::<usize>().unwrap()];
            near(ours.precision, &theirs["precision"], 1e-12);
            near(ours.recall, &theirs["recall"], 1e-12);
            near(ours.f1, &theirs["f1-score"], 1e-12);
            near(ours.support as f64, &theirs["support"], 0.0);
        }
    }
}

#[test]
fn temperature_equals_a_general_minimiser() {
    let recorded = recorded();
    for case in list(&recorded, "temperatures") {
        let logits: Vec<f32> = list(case, "logits").iter().map(|z| number(z) as f32).collect();
        let rows = Rows::new(&logits, case["classes"].as_u64().unwrap() as usize).unwrap();
        let mut gold: Vec<_> = classes(case, "gold").into_iter().map(Some).collect();
        let fitted = fit_temperature(rows, &gold).unwrap().unwrap();
        near(
            f64::from(fitted.value),
            &case["temperature"],
            1e-5 * number(&case["temperature"]),
        );
        near(fitted.nll_before, &case["nll_before"], 1e-9);
        gold.fill(None);
        assert_eq!(fit_temperature(rows, &gold).unwrap(), None);
    }
}

#[test]
fn lower_bounds_equal_clopper_and_pearson() {
    let recorded = recorded();
    for case in list(&recorded, "bounds") {
        let (right, count) = (case["right"].as_u64().unwrap(), case["count"].as_u64().unwrap());
        near(
            precision_lower_bound(right, count, number(&case["assurance"])),
            &case["low"],
            1e-9,
        );
    }
}

#[test]
fn calibration_error_equals_its_definition() {
    let recorded = recorded();
    let case = &recorded["calibration"];
    let judged: Vec<Judged> = list(case, "confidence")
        .iter()
        .zip(list(case, "right"))
        .map(|(confidence, right)| Judged {
            confidence: number(confidence) as f32,
            right: right.as_bool().unwrap(),
        })
        .collect();
    near(expected_calibration_error(&judged).unwrap(), &case["ece"], 1e-9);
}
