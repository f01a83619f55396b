//! The behaviour a store must show, whatever database it is.
#![allow(clippy::unwrap_used)] // in a test, a panic is the report

use poststelle_lifecycle::*;
use poststelle_store::{
    ChangeError, NewVersion, NextKey, Purged, Repeated, Scene, Step, StepState, Store, StoreError,
};
use std::collections::BTreeMap;

/// Every behaviour; `fresh` gives an empty store's address each time.
pub async fn show(fresh: impl AsyncFn() -> String) {
    let open = async || {
        Store::open(&fresh().await)
            .await
            .unwrap_or_else(|error| panic!("{error:?}"))
    };
    versions_are_numbered_and_registered_once(&open().await).await;
    a_refused_change_writes_nothing(&open().await).await;
    two_approvers_at_once_do_not_lose_each_other(&open().await).await;
    events_are_a_chain_whatever_the_clock_says(&open().await).await;
    endpoints_move_once_and_forget_what_is_withdrawn(&open().await).await;
    receivers_are_offered_each_event_until_they_take_it(&open().await).await;
    steps_are_found_by_their_inputs(&open().await).await;
    a_thousand_versions_are_listed_in_order(&open().await).await;
    keys_are_found_rotated_and_revoked_and_each_change_is_an_event(&open().await).await;
    predictions_belong_to_their_client_and_go_when_asked(&open().await).await;
    old_rows_are_purged(&open().await).await;
    a_request_is_begun_once(&open().await).await;
    a_store_is_found_again_as_it_was(&fresh().await).await;
}

fn scene(at: &str) -> Scene {
    Scene {
        environment: "production".parse().unwrap(),
        at: at.parse().unwrap(),
        by: "ci".parse().unwrap(),
    }
}

pub fn now() -> Scene {
    scene("2026-11-26T10:00:00Z")
}

fn act(by: &str) -> Act {
    Act {
        by: by.parse().unwrap(),
        at: now().at,
        reason: "for the test".parse().unwrap(),
    }
}

pub fn new(artifact: &str) -> NewVersion {
    NewVersion {
        model: "mails".parse().unwrap(),
        artifact: Digest::of(artifact.as_bytes()),
        size_bytes: 4,
        lineage: Lineage {
            run: "1".into(),
            recipe: Digest::of(b"recipe"),
            train: "t".into(),
            validation: "v".into(),
            schema_version: 1,
            schema: "s".into(),
            base: None,
            written_by: "test".into(),
            created: "2026-11-26T09:00:00Z".into(),
            gate: Gate::default(),
        },
        signature: None,
        promoted: None,
        act: act("ci"),
    }
}

fn figures() -> Evaluation {
    Evaluation {
        dataset: "mails".into(),
        examples: 10,
        tasks: BTreeMap::new(),
        latency_ms: None,
        size_bytes: 4,
        against: None,
        verdicts: Vec::new(),
    }
}

fn approval(by: &str) -> Approval {
    Approval {
        act: act(by),
        waived: Default::default(),
    }
}

/// A registered version that waits for its approval.
async fn pending(store: &Store, artifact: &str) -> VersionId {
    let (version, _) = store.register(&now(), new(artifact)).await.unwrap();
    store
        .change_version(&now(), &version.id, |version| version.evaluate(figures()))
        .await
        .unwrap();
    store
        .change_version(&now(), &version.id, |version| version.request(act("ci")))
        .await
        .unwrap();
    version.id
}

async fn approved(store: &Store, artifact: &str) -> VersionId {
    let id = pending(store, artifact).await;
    let approve = |version: Version| version.approve(approval("ada"), Rules::default());
    store.change_version(&now(), &id, approve).await.unwrap();
    id
}

async fn versions_are_numbered_and_registered_once(store: &Store) {
    let (first, made) = store.register(&now(), new("a")).await.unwrap();
    assert!(made);
    let (second, _) = store.register(&now(), new("b")).await.unwrap();
    let (again, made) = store.register(&now(), new("a")).await.unwrap();
    assert_eq!(
        (first.id.to_string(), second.id.to_string()),
        ("mails@1".into(), "mails@2".into())
    );
    assert_eq!((again, made), (first, false));
    assert_eq!(store.events(0, 10).await.unwrap().len(), 2);
    let unknown = store.version(&"mails@3".parse().unwrap()).await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no version `mails@3`");
}

async fn a_refused_change_writes_nothing(store: &Store) {
    let (version, _) = store.register(&now(), new("a")).await.unwrap();
    let refused = store
        .change_version(&now(), &version.id, |version| version.request(act("ci")))
        .await;
    assert!(
        matches!(&refused, Err(ChangeError::Refused(error)) if error.to_string().contains("mails@1 is registered"))
    );
    assert_eq!(store.version(&version.id).await.unwrap(), version);
    assert_eq!(store.events(0, 10).await.unwrap().len(), 1);
}

async fn two_approvers_at_once_do_not_lose_each_other(store: &Store) {
    let id = pending(store, "a").await;
    let rules = Rules {
        approvers: 2,
        own: true,
    };
    let approve = async |by: &str| {
        let approval = approval(by);
        store
            .change_version(&now(), &id, move |version| version.approve(approval, rules))
            .await
    };
    let (ada, grace) = tokio::join!(approve("ada"), approve("grace"));
    let mut names = [ada.unwrap().1.change.name(), grace.unwrap().1.change.name()];
    names.sort_unstable();
    assert_eq!(names, ["approval_given", "approved"]);
    let Standing::Approved { approvals, .. } = store.version(&id).await.unwrap().standing else {
        panic!("not approved");
    };
    assert_eq!(approvals.len(), 2);
    // The same decision twice at once: one is taken, one refused.
    let id = pending(store, "b").await;
    let decide = async || {
        store
            .change_version(&now(), &id, |version| version.reject(act("ada")))
            .await
            .is_ok()
    };
    let (one, other) = tokio::join!(decide(), decide());
    assert!(one != other);
}

async fn events_are_a_chain_whatever_the_clock_says(store: &Store) {
    for (n, at) in [
        "2026-11-26T10:00:00Z",
        "1970-01-01T00:00:00Z",
        "2099-01-01T00:00:00Z",
    ]
    .into_iter()
    .enumerate()
    {
        store.register(&scene(at), new(&n.to_string())).await.unwrap();
    }
    let events = store.events(0, 10).await.unwrap();
    assert_eq!(
        events.iter().map(|event| event.sequence).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    verify(None, &events).unwrap();
    let about = Subject::Version("mails@2".parse().unwrap());
    let history = store.history(&about).await.unwrap();
    assert_eq!(history, events[1..2]);
}

async fn endpoints_move_once_and_forget_what_is_withdrawn(store: &Store) {
    let endpoint: EndpointName = "classify".parse().unwrap();
    let (first, second) = (approved(store, "a").await, approved(store, "b").await);
    let start = async |id: &VersionId| {
        store
            .start(&now(), &endpoint, id, Strategy::AtOnce, act("ci"))
            .await
            .unwrap()
            .is_some()
    };
    let end = async |id: &VersionId| {
        store
            .end_rollout(&now(), &endpoint, id, RolloutEnd::Done, act("endpoint"))
            .await
            .is_ok()
    };
    // The same event twice at once deploys once.
    let (one, other) = tokio::join!(start(&first), start(&first));
    assert!(one != other);
    let (one, other) = tokio::join!(end(&first), end(&first));
    assert!(one != other);
    assert!(start(&second).await && end(&second).await && !start(&second).await);
    let (back, _) = store.roll_back(&now(), &endpoint, act("ada")).await.unwrap();
    assert_eq!(back.serving, Some(first.clone()));
    assert!(start(&second).await && end(&second).await);
    let (withdrawn, events) = store.withdraw(&now(), &second, act("ada")).await.unwrap();
    assert_eq!(
        (withdrawn.standing.name(), events.len()),
        (StandingName::Withdrawn, 2)
    );
    let deployment = store.deployment(&endpoint).await.unwrap().unwrap();
    assert_eq!(
        (deployment.serving, deployment.before),
        (Some(first.clone()), vec![])
    );
    let refused = store
        .start(&now(), &endpoint, &second, Strategy::AtOnce, act("ci"))
        .await
        .unwrap_err();
    assert_eq!(refused.to_string(), "mails@2 is withdrawn, expected approved");
    assert!(store.roll_back(&now(), &endpoint, act("ada")).await.is_err());
    store.withdraw(&now(), &first, act("ada")).await.unwrap();
    assert_eq!(store.deployments().await.unwrap()[0].serving, None);
    verify(None, &store.events(0, 1000).await.unwrap()).unwrap();
}

async fn receivers_are_offered_each_event_until_they_take_it(store: &Store) {
    for artifact in ["a", "b", "c"] {
        store.register(&now(), new(artifact)).await.unwrap();
    }
    let at = |second: i64| Timestamp::from_second(1_000_000 + second).unwrap();
    let next = async |second| store.next_delivery("crm", at(second)).await.unwrap();
    let first = next(0).await.unwrap();
    assert_eq!((first.event.sequence, first.attempts), (1, 0));
    assert_eq!(next(0).await.unwrap(), first, "not taken yet");
    store.failed(&first, at(10), "503").await.unwrap();
    assert_eq!(next(5).await, None, "left alone for a while");
    assert_eq!(next(10).await.unwrap().attempts, 1);
    assert!(
        next(-100_000).await.is_some(),
        "a clock that jumped back keeps nobody waiting"
    );
    store.delivered(&first).await.unwrap();
    let second = next(10).await.unwrap();
    assert_eq!((second.event.sequence, second.attempts), (2, 0));
    store.died(&second, at(11), "410").await.unwrap();
    assert_eq!(next(11).await.unwrap().event.sequence, 3);
    let dead = store.dead().await.unwrap();
    assert_eq!(
        (dead.len(), dead[0].sequence, dead[0].error.as_str()),
        (1, 2, "410")
    );
    store.replay("crm", 1).await.unwrap();
    let again = next(12).await.unwrap();
    assert_eq!(again.event, second.event);
    store.delivered(&again).await.unwrap();
    assert!(store.dead().await.unwrap().is_empty());
    assert_eq!(store.receivers().await.unwrap()[0].sequence, 2);
}

async fn steps_are_found_by_their_inputs(store: &Store) {
    let step = |run, inputs: &str, state| Step {
        pipeline: "mails".into(),
        run,
        position: 0,
        name: "train".into(),
        inputs: Digest::of(inputs.as_bytes()),
        state,
        outputs: [("artifact".to_owned(), format!("of run {run}"))].into(),
        started: now().at,
        ended: None,
        error: None,
    };
    assert_eq!(store.last_run("mails").await.unwrap(), 0);
    store.put_step(&step(1, "x", StepState::Running)).await.unwrap();
    assert_eq!(
        store.done("mails", "train", &Digest::of(b"x")).await.unwrap(),
        None
    );
    store.put_step(&step(1, "x", StepState::Done)).await.unwrap();
    store.put_step(&step(2, "y", StepState::Failed)).await.unwrap();
    let found = store.done("mails", "train", &Digest::of(b"x")).await.unwrap();
    assert_eq!(found, Some(step(1, "x", StepState::Done)));
    assert_eq!(
        store.done("mails", "train", &Digest::of(b"y")).await.unwrap(),
        None
    );
    assert_eq!(store.last_run("mails").await.unwrap(), 2);
    assert_eq!(
        store.steps("mails", 2).await.unwrap(),
        [step(2, "y", StepState::Failed)]
    );
}

async fn a_thousand_versions_are_listed_in_order(store: &Store) {
    for n in 0..1000 {
        store.register(&now(), new(&n.to_string())).await.unwrap();
    }
    let versions = store.versions(Some(&"mails".parse().unwrap())).await.unwrap();
    let numbers: Vec<u32> = versions.iter().map(|version| version.id.number).collect();
    assert_eq!(numbers, (1..=1000).collect::<Vec<_>>());
    let (last, _) = store.register(&now(), new("last")).await.unwrap();
    assert_eq!(last.id.number, 1001);
    verify(None, &store.events(0, 2000).await.unwrap()).unwrap();
}

async fn a_store_is_found_again_as_it_was(address: &str) {
    // Several processes may start at once on an empty database.
    let opened: Vec<_> = (0..8)
        .map(|_| {
            let address = address.to_owned();
            tokio::spawn(async move { Store::open(&address).await })
        })
        .collect();
    let mut stores = Vec::new();
    for store in opened {
        stores.push(store.await.unwrap().unwrap());
    }
    let (one, other) = (&stores[0], &stores[7]);
    let (version, _) = one.register(&now(), new("a")).await.unwrap();
    assert_eq!(other.version(&version.id).await.unwrap(), version);
    for store in &stores {
        store.close().await;
    }
    let again = Store::open(address).await.unwrap();
    assert_eq!(again.versions(None).await.unwrap(), [version]);
}

/// An address that leads nowhere says so, without its password.
pub async fn refused(address: &str) -> String {
    match Store::open(address).await {
        Ok(_) => panic!("`{address}` opened"),
        Err(
            error @ (StoreError::Connect { .. } | StoreError::Address { .. } | StoreError::Migrate { .. }),
        ) => error.to_string(),
        Err(error) => panic!("{error}"),
    }
}

fn key(text: &KeyText) -> ApiKey {
    ApiKey {
        id: text.id.clone(),
        client: "crm".parse().unwrap(),
        permissions: [Permission::Predict].into(),
        requests_per_minute: None,
        secret: text.digest(),
        issued: act("ada"),
        expires: None,
        revoked: None,
        replaces: None,
    }
}

async fn keys_are_found_rotated_and_revoked_and_each_change_is_an_event(store: &Store) {
    let (first, second) = (KeyText::of_chance(&[1; 40]), KeyText::of_chance(&[2; 40]));
    store.issue_key(&now(), &key(&first)).await.unwrap();
    assert_eq!(store.find_key(&first.id).await.unwrap(), Some(key(&first)));
    assert_eq!(store.find_key(&second.id).await.unwrap(), None);
    let next = NextKey {
        id: second.id.clone(),
        secret: second.digest(),
        expires: None,
        overlap_until: "2026-11-27T10:00:00Z".parse().unwrap(),
    };
    store
        .rotate_key(&now(), &first.id, next, act("ada"))
        .await
        .unwrap();
    let last = store.find_key(&first.id).await.unwrap().unwrap();
    assert_eq!(last.expires, Some("2026-11-27T10:00:00Z".parse().unwrap()));
    store.revoke_key(&now(), &second.id, act("grace")).await.unwrap();
    let again = store.revoke_key(&now(), &second.id, act("grace")).await;
    assert!(
        matches!(again, Err(ChangeError::Refused(KeyEnded { .. }))),
        "{again:?}"
    );
    let unknown = store
        .revoke_key(&now(), &"0".repeat(16).parse().unwrap(), act("ada"))
        .await;
    assert!(
        matches!(unknown, Err(ChangeError::Store(StoreError::NotFound { .. }))),
        "{unknown:?}"
    );
    assert_eq!(store.keys().await.unwrap().len(), 2);
    let events = store.events(0, 10).await.unwrap();
    let names: Vec<&str> = events.iter().map(|event| event.change.name()).collect();
    assert_eq!(names, ["key_issued", "key_replaced", "key_issued", "key_revoked"]);
    verify(None, &events).unwrap();
    let history = store.history(&Subject::ApiKey(second.id)).await.unwrap();
    assert_eq!(history.len(), 2);
    let text = serde_json::to_string(&events).unwrap();
    assert!(
        !text.contains(first.digest().hex()),
        "an event holds what proves the key"
    );
}

fn predicted(n: u32, client: &str, external_id: Option<&str>, at: &str) -> Predicted {
    Predicted {
        id: format!("pred_{n:032x}").parse().unwrap(),
        client: client.parse().unwrap(),
        external_id: external_id.map(str::to_owned),
        at: at.parse().unwrap(),
        model_version: Some("mails@3".into()),
        schema_version: 1,
        scope: "in_scope".into(),
        truncated: false,
        tasks: BTreeMap::from([
            (
                "queue".to_owned(),
                Some(Labelled {
                    label: "tax".into(),
                    confidence: 0.1,
                    decision: "ask".into(),
                }),
            ),
            ("topic".to_owned(), None),
        ]),
        text: Some("'; DROP TABLE prediction; -- \u{0} Grüße".into()),
    }
}

fn feedback(n: u32, prediction: Option<u32>, external_id: Option<&str>, at: &str) -> Feedback {
    Feedback {
        id: format!("fb_{n:032x}").parse().unwrap(),
        client: "crm".parse().unwrap(),
        prediction: prediction.map(|n| format!("pred_{n:032x}").parse().unwrap()),
        external_id: external_id.map(str::to_owned),
        at: at.parse().unwrap(),
        labels: BTreeMap::from([("queue".to_owned(), "tax".to_owned())]),
    }
}

const MORNING: &str = "2026-11-26T08:00:00Z";

async fn predictions_belong_to_their_client_and_go_when_asked(store: &Store) {
    let (crm, web) = ("crm".parse().unwrap(), "web".parse().unwrap());
    let mut all: Vec<Predicted> = (0..450).map(|n| predicted(n, "crm", None, MORNING)).collect();
    all.push(predicted(450, "crm", Some("a"), MORNING));
    all.push(predicted(451, "crm", Some("a"), "2026-11-26T09:00:00Z"));
    all.push(predicted(452, "web", Some("a"), MORNING));
    store.keep_predictions(&all).await.unwrap();
    let id = &all[450].id;
    assert_eq!(
        store.prediction(&crm, id).await.unwrap().as_ref(),
        Some(&all[450])
    );
    assert_eq!(store.prediction(&web, id).await.unwrap(), None);
    let of_mail = store.predictions_of(&crm, "a", 10).await.unwrap();
    assert_eq!(of_mail, [all[451].clone(), all[450].clone()], "newest first");
    let twice = store
        .keep_predictions(&[predicted(999, "crm", None, MORNING), all[0].clone()])
        .await;
    assert!(twice.is_err());
    assert_eq!(
        store
            .prediction(&crm, &predicted(999, "crm", None, MORNING).id)
            .await
            .unwrap(),
        None,
        "all or none"
    );
    store
        .keep_feedback(&feedback(1, Some(450), None, MORNING))
        .await
        .unwrap();
    store
        .keep_feedback(&feedback(2, None, Some("a"), MORNING))
        .await
        .unwrap();
    store
        .keep_feedback(&feedback(3, Some(0), None, MORNING))
        .await
        .unwrap();
    assert!(
        !store.erase_prediction(&web, id).await.unwrap(),
        "it is not theirs"
    );
    let erased = store.erase_mail(&crm, "a").await.unwrap();
    let expected = Purged {
        predictions: 2,
        feedback: 2,
        answers: 0,
    };
    assert_eq!(erased, expected);
    assert!(store.prediction(&web, &all[452].id).await.unwrap().is_some());
    assert!(store.erase_prediction(&crm, &all[0].id).await.unwrap());
    assert_eq!(
        store.feedback_since(MORNING.parse().unwrap(), 10).await.unwrap(),
        []
    );
}

async fn old_rows_are_purged(store: &Store) {
    let evening = "2026-11-26T20:00:00Z";
    let crm = "crm".parse().unwrap();
    store
        .keep_predictions(&[
            predicted(1, "crm", None, MORNING),
            predicted(2, "crm", None, evening),
        ])
        .await
        .unwrap();
    store
        .keep_feedback(&feedback(1, None, Some("a"), MORNING))
        .await
        .unwrap();
    store
        .begin_once(&crm, "a", "f", MORNING.parse().unwrap(), Timestamp::MIN)
        .await
        .unwrap();
    let noon = "2026-11-26T12:00:00Z".parse().unwrap();
    let purged = store.purge(noon, noon).await.unwrap();
    let expected = Purged {
        predictions: 1,
        feedback: 1,
        answers: 1,
    };
    assert_eq!(purged, expected);
    assert_eq!(store.purge(noon, noon).await.unwrap(), Purged::default());
}

async fn a_request_is_begun_once(store: &Store) {
    let crm = "crm".parse().unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let begin = async |name: &str, fingerprint: &str, now: &str, given_up: &str| {
        store
            .begin_once(&crm, name, fingerprint, at(now), at(given_up))
            .await
            .unwrap()
    };
    let (eight, nine) = (MORNING, "2026-11-26T09:00:00Z");
    assert_eq!(
        begin("a", "f", eight, "2026-11-26T07:00:00Z").await,
        Repeated::First
    );
    assert_eq!(
        begin("a", "f", nine, "2026-11-26T07:59:00Z").await,
        Repeated::UnderWay
    );
    assert_eq!(
        begin("a", "f", nine, "2026-11-26T08:30:00Z").await,
        Repeated::First,
        "the first was given up"
    );
    store.end_once(&crm, "a", "answer").await.unwrap();
    assert_eq!(
        begin("a", "f", nine, nine).await,
        Repeated::Answered("answer".into())
    );
    assert_eq!(begin("a", "g", nine, nine).await, Repeated::Other);
    assert_eq!(begin("b", "f", nine, eight).await, Repeated::First);
    store.forget_once(&crm, "b").await.unwrap();
    assert_eq!(begin("b", "f", nine, eight).await, Repeated::First);
    let both = tokio::join!(begin("c", "f", nine, eight), begin("c", "f", nine, eight));
    let firsts = [&both.0, &both.1]
        .into_iter()
        .filter(|one| **one == Repeated::First)
        .count();
    assert_eq!(firsts, 1, "{both:?}");
}
