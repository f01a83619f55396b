//! The model flow by its public words: what is legal, what is refused, what is remembered.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

use poststelle_lifecycle::*;
use proptest::{prop_assert, prop_assert_eq, proptest};

fn act(by: &str) -> Act {
    Act {
        by: by.parse().unwrap(),
        at: "2026-11-26T10:00:00Z".parse().unwrap(),
        reason: "for the test".parse().unwrap(),
    }
}

fn approval(by: &str, waived: &[&str]) -> Approval {
    Approval {
        act: act(by),
        waived: waived.iter().map(|gate| gate.parse().unwrap()).collect(),
    }
}

fn version(gate: &str) -> Version {
    Version {
        id: "mails@1".parse().unwrap(),
        artifact: Digest::of(b"artifact"),
        size_bytes: 4,
        lineage: Lineage {
            run: "run-1".into(),
            recipe: Digest::of(b"recipe"),
            train: "t".into(),
            validation: "v".into(),
            schema_version: 1,
            schema: "s".into(),
            base: None,
            written_by: "test".into(),
            created: "2026-11-26T09:00:00Z".into(),
            gate: serde_json::from_str(gate).unwrap(),
        },
        signature: None,
        registered: act("ci"),
        promoted_from: None,
        standing: Standing::Registered,
    }
}

fn figures() -> Evaluation {
    Evaluation {
        dataset: "mails".into(),
        examples: 10,
        tasks: Default::default(),
        latency_ms: Some(10.0),
        size_bytes: 4_000_000,
        against: None,
        verdicts: Vec::new(),
    }
}

fn pending(gate: &str) -> Version {
    let (version, _) = version(gate).evaluate(figures()).unwrap();
    version.request(act("ci")).unwrap().0
}

#[test]
fn a_failed_gate_stops_an_approval_until_it_is_waived_by_name() {
    let gate = r#"{"latency_ms": 5, "size_mb": 10}"#;
    let error = pending(gate)
        .approve(approval("ada", &[]), Rules::default())
        .unwrap_err();
    assert_eq!(error.to_string(), "mails@1 fails `latency_ms`");
    let error = pending(gate).approve(approval("ada", &["latency_ms", "size_mb"]), Rules::default());
    assert_eq!(
        error.unwrap_err().to_string(),
        "mails@1 has no failed gate `size_mb`"
    );
    let (version, change) = pending(gate)
        .approve(approval("ada", &["latency_ms"]), Rules::default())
        .unwrap();
    assert_eq!(version.standing.name(), StandingName::Approved);
    assert_eq!(change.name(), "approved");
}

#[test]
fn four_eyes_are_those_of_two_people() {
    let rules = Rules {
        approvers: 2,
        own: false,
    };
    let error = pending("{}").approve(approval("ci", &[]), rules).unwrap_err();
    assert_eq!(error.to_string(), "ci registered mails@1");
    let (once, change) = pending("{}").approve(approval("ada", &[]), rules).unwrap();
    assert_eq!(
        (once.standing.name(), change.name()),
        (StandingName::Pending, "approval_given")
    );
    let error = once.clone().approve(approval("ada", &[]), rules).unwrap_err();
    assert_eq!(error.to_string(), "ada has already approved mails@1");
    let (twice, change) = once.approve(approval("grace", &[]), rules).unwrap();
    assert_eq!(
        (twice.standing.name(), change.name()),
        (StandingName::Approved, "approved")
    );
}

proptest! {
    /// Whatever is tried in whatever order, a version only ever takes the arrows of its diagram.
    #[test]
    fn only_legal_arrows_are_taken(moves in proptest::collection::vec(0..5u8, 0..12)) {
        use StandingName::*;
        let mut version = version("{}");
        for step in moves {
            let before = version.standing.name();
            let moved = match step {
                0 => version.clone().evaluate(figures()).ok(),
                1 => version.clone().request(act("ci")).ok(),
                2 => version.clone().approve(approval("ada", &[]), Rules::default()).ok(),
                3 => version.clone().reject(act("ada")).ok(),
                _ => version.clone().withdraw(act("ada")).ok(),
            };
            let Some((after, _)) = moved else { continue };
            let arrow = (before, after.standing.name());
            prop_assert!([
                (Registered, Evaluated), (Evaluated, Evaluated), (Evaluated, Pending), (Pending, Approved),
                (Pending, Rejected), (Evaluated, Rejected), (Approved, Withdrawn),
            ].contains(&arrow), "{arrow:?}");
            let text = serde_json::to_string(&after).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Version>(&text).unwrap(), &after);
            version = after;
        }
    }
}

#[test]
fn a_chain_shows_what_was_changed_dropped_or_moved() {
    let mut events: Vec<Event> = Vec::new();
    for n in 1..=5 {
        let event = Event::after(
            events.last(),
            "production".parse().unwrap(),
            "2026-11-26T10:00:00Z".parse().unwrap(),
            "ada".parse().unwrap(),
            Subject::Version(format!("mails@{n}").parse().unwrap()),
            Change::Rejected { act: act("ada") },
        );
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
        events.push(event);
    }
    verify(None, &events).unwrap();
    verify(Some(&events[1]), &events[2..]).unwrap();
    let mut dropped = events.clone();
    dropped.remove(2);
    assert_eq!(verify(None, &dropped).unwrap_err().sequence, 4);
    let mut edited = events.clone();
    edited[1].by = "mallory".parse().unwrap();
    let error = verify(None, &edited).unwrap_err();
    assert_eq!((error.sequence, error.what), (2, "its digest"));
    let mut forged = edited;
    forged[1].id = Event::after(
        Some(&forged[0]),
        forged[1].environment.clone(),
        forged[1].at,
        forged[1].by.clone(),
        forged[1].subject.clone(),
        forged[1].change.clone(),
    )
    .id;
    assert_eq!(verify(None, &forged).unwrap_err().sequence, 3);
}

fn id(n: u32) -> VersionId {
    format!("mails@{n}").parse().unwrap()
}

fn all(_: &VersionId) -> StandingName {
    StandingName::Approved
}

fn serving(versions: std::ops::RangeInclusive<u32>) -> Deployment {
    let mut deployment = Deployment::new("classify".parse().unwrap(), "mails".parse().unwrap());
    for n in versions {
        let started = deployment.start(id(n), StandingName::Approved, Strategy::AtOnce, act("ci"));
        let (moving, _) = started.unwrap().unwrap();
        deployment = moving.end(&id(n), RolloutEnd::Done, act("ci")).unwrap().0;
    }
    deployment
}

#[test]
fn a_duplicate_start_changes_nothing() {
    let deployment = serving(1..=1);
    let again = |deployment: &Deployment, n| {
        deployment
            .clone()
            .start(id(n), StandingName::Approved, Strategy::AtOnce, act("ci"))
    };
    assert_eq!(again(&deployment, 1), Ok(None));
    let (moving, _) = again(&deployment, 2).unwrap().unwrap();
    assert_eq!(again(&moving, 2), Ok(None));
    assert_eq!(
        again(&moving, 3).unwrap_err().to_string(),
        "endpoint classify is moving to mails@2"
    );
    assert_eq!(moving.generation, deployment.generation + 1);
    let refused = deployment.start(id(2), StandingName::Withdrawn, Strategy::AtOnce, act("ci"));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "mails@2 is withdrawn, expected approved"
    );
}

#[test]
fn a_rollout_ends_once_and_a_failed_one_keeps_what_serves() {
    let started = serving(1..=1).start(id(2), StandingName::Approved, Strategy::AtOnce, act("ci"));
    let (moving, _) = started.unwrap().unwrap();
    let why = "its artifact is damaged".to_owned();
    let (kept, _) = moving.end(&id(2), RolloutEnd::Failed { why }, act("ci")).unwrap();
    assert_eq!(kept.serving, Some(id(1)));
    assert!(kept.end(&id(2), RolloutEnd::Done, act("ci")).is_err());
}

#[test]
fn going_back_skips_what_was_withdrawn() {
    let withdrawn = |version: &VersionId| match version.number {
        2 => StandingName::Withdrawn,
        _ => StandingName::Approved,
    };
    let (back, _) = serving(1..=3).roll_back(withdrawn, act("ada")).unwrap();
    assert_eq!((back.serving.clone(), back.before.len()), (Some(id(1)), 0));
    assert!(back.roll_back(all, act("ada")).is_err());
    let (gone, change) = serving(1..=1).forget(&id(1), all, act("ada")).unwrap();
    assert_eq!((gone.serving, change.name()), (None, "rolled_back"));
    let (forgotten, _) = serving(1..=2).forget(&id(2), all, act("ada")).unwrap();
    assert_eq!(forgotten.serving, Some(id(1)));
    assert_eq!(serving(1..=2).forget(&id(3), all, act("ada")), None);
}

#[test]
fn a_rollout_is_judged_by_what_was_seen() {
    let limits = Limits::default();
    let seen = |requests, errors, latency_ms, different| Health {
        requests,
        errors,
        latency_ms,
        serving_latency_ms: 10.0,
        compared: requests,
        different,
    };
    assert_eq!(limits.judge(&seen(10, 0, 10.0, 0)), Ok(false));
    assert_eq!(limits.judge(&seen(100, 1, 19.0, 20)), Ok(true));
    assert!(
        limits.judge(&seen(2, 2, 10.0, 0)).is_err(),
        "two errors already break one in a hundred of a hundred"
    );
    let text = limits.judge(&seen(100, 0, 30.0, 0)).unwrap_err().to_string();
    assert_eq!(
        text,
        "answers take times as long 3.000, at most 2.000 after 100 requests"
    );
    assert!(limits.judge(&seen(100, 0, 10.0, 21)).is_err());
}
