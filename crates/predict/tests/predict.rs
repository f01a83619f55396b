//! A predictor over a model of ten lines.

#![allow(clippy::unwrap_used, reason = "a test's own model")]

mod naming;

use naming::{Naming, label};
use poststelle_predict::{Content, Decision, Mail};

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
    let top = json["queue"]["top"].as_array().unwrap();
    assert!(
        top.iter().all(|label| label["label"] != "trade"),
        "no queue of another unit: {top:?}"
    );
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
