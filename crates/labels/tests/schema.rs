//! `labels.toml` in and out, and what a schema refuses.
#![allow(clippy::unwrap_used, reason = "a test stops where its own files fail")]

use poststelle_labels::{Change, ClassIndex, Edit, Label, Rule, Schema, Task, TaskName};
use proptest::prelude::*;

const FILE: &str = r#"
version = 7

[task.queue]
parent = "business_unit"
labels = [{ name = "tax", parent = "brokerage", since = 3, description = "certificates" }, { name = "card", parent = "bank" }]

[task.business_unit]
labels = ["brokerage", "bank"]

[[change]]
version = 3
task = "queue"
add = ["tax"]

[[change]]
version = 7
task = "queue"
merge = { from = ["debit card", "credit card"], into = "card" }

[[change]]
version = 7
task = "queue"
split = { from = "other", into = ["tax", "card"], rules = [{ contains = "steuer", into = "tax" }] }
"#;

#[test]
fn reads_tasks_in_the_order_of_the_file() {
    let schema = Schema::from_toml(FILE).unwrap();
    assert_eq!(schema.version(), 7);
    let names: Vec<_> = schema.tasks().iter().map(|task| task.name().as_str()).collect();
    assert_eq!(names, ["queue", "business_unit"]);
    assert_eq!(schema.changes().len(), 3);
    assert_eq!(schema.changes()[0].edit, Edit::Add(vec!["tax".into()]));
    assert_eq!(
        schema.changes()[2].edit,
        Edit::Split {
            from: "other".into(),
            into: vec!["tax".into(), "card".into()],
            rules: vec![Rule {
                contains: "steuer".into(),
                into: "tax".into()
            }],
        }
    );
}

#[test]
fn finds_the_class_of_the_parent() {
    let schema = Schema::from_toml(FILE).unwrap();
    let queue = schema.task(&TaskName::new("queue")).unwrap();
    let unit = schema.task(&TaskName::new("business_unit")).unwrap();
    assert_eq!(
        schema.parent_class(queue, ClassIndex(0)),
        unit.index_of("brokerage")
    );
    assert_eq!(schema.parent_class(queue, ClassIndex(1)), unit.index_of("bank"));
    assert_eq!(schema.parent_class(unit, ClassIndex(0)), None);
}

#[test]
fn written_and_read_again_it_is_equal() {
    let schema = Schema::from_toml(FILE).unwrap();
    assert_eq!(Schema::from_toml(&schema.to_toml()).unwrap(), schema);
}

#[test]
fn the_digest_follows_names_parents_and_order_only() {
    let schema = |text: &str| Schema::from_toml(text).unwrap().digest();
    let plain = schema("version = 1\n[task.a]\nlabels = ['x', 'y']");
    assert_eq!(plain.len(), 64);
    assert_eq!(
        plain,
        schema("version = 2\n[task.a]\nlabels = [{ name = 'x', description = 'd' }, 'y']")
    );
    assert_ne!(plain, schema("version = 1\n[task.a]\nlabels = ['y', 'x']"));
    assert_ne!(plain, schema("version = 1\n[task.b]\nlabels = ['x', 'y']"));
    assert_ne!(plain, schema("version = 1\n[task.a]\nlabels = ['xy']"));
}

#[test]
fn refuses_with_the_place_and_what_was_meant() {
    let cases = [
        (
            "versoin = 1",
            "unknown key `versoin` in the file; did you mean `version`?",
        ),
        ("version = 1\n[task.a]\nlabels = []", "task `a` has no label"),
        ("version = 1\ntask = {}", "the schema has no task"),
        ("version = 1", "the file lacks the key `task`"),
        ("[task.a]\nlabels = ['x']", "the file lacks the key `version`"),
        (
            "version = -1\n[task.a]\nlabels = ['x']",
            "`version` in the file is the number -1, expected a whole number from 0",
        ),
        (
            "version = 1\n[task.a]\nlabels = ['x', 'x']",
            "task `a` names the label `x` twice",
        ),
        (
            "version = 1\n[task.a]\nlabels = [' x']",
            "the name ` x` in task `a` is empty or has space around it",
        ),
        (
            "version = 1\n[task.a]\nlabels = [1]",
            "label 1 of task `a` is the number 1, expected a string or a table",
        ),
        (
            "version = 1\n[task.a]\nlabels = [{ name = 'x', desc = 'd' }]",
            "unknown key `desc` in label 1 of task `a`",
        ),
        (
            "version = 1\n[task.queue]\nlabels = ['x']\n[task.topic]\nparent = 'quue'\nlabels = [{name = 'y', parent = 'x'}]",
            "task `topic` has the parent `quue`, which is no task; did you mean `queue`?",
        ),
        (
            "version = 1\n[task.a]\nparent = 'b'\nlabels = [{name='x', parent='y'}]\n[task.b]\nparent = 'a'\nlabels = [{name='y', parent='x'}]",
            "task `a` is its own ancestor",
        ),
        (
            "version = 1\n[task.a]\nlabels = ['brokerage']\n[task.b]\nparent = 'a'\nlabels = [{name='y', parent='brokrage'}]",
            "label `y` of task `b` has the parent `brokrage`, which is no label of `a`; did you mean `brokerage`?",
        ),
        (
            "version = 1\n[task.a]\nlabels = ['x']\n[task.b]\nparent = 'a'\nlabels = ['y']",
            "label `y` of task `b` names no parent, expected a label of `a`",
        ),
        (
            "version = 1\n[task.a]\nlabels = [{name='x', parent='z'}]",
            "label `x` of task `a` names the parent `z`, but the task has no parent task",
        ),
        (
            "version = 1\n[task.a]\nlabels = ['x']\n[[change]]\nversion = 1\ntask = 'a'\nrename = {from='y', into='y'}",
            "change 1 (version 1, task `a`): renames `y` into itself",
        ),
        (
            "version = 1\n[task.a]\nlabels = ['x']\n[[change]]\nversion = 2\ntask = 'a'\nadd = ['x']",
            "change 1 (version 2, task `a`): its version should lie in 0 ..= 1",
        ),
        (
            "version = 1\n[task.a]\nlabels = ['x']\n[[change]]\nversion = 1\ntask = 'a'\nretire = ['y']\nadd = ['x']",
            "change 1 is a change with 2 edits, expected exactly one of rename, merge, split, retire, add",
        ),
        (
            "version = 1\n[task.a]\nlabels = ['x']\n[[change]]\nversion = 1\ntask = 'a'\nrename = {form='y', into='y'}",
            "unknown key `form` in `rename` in change 1; did you mean `from`?",
        ),
    ];
    for (text, expected) in cases {
        let error = Schema::from_toml(text).expect_err(text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
    assert!(Schema::from_toml("version = ").is_err());
}

prop_compose! {
    fn name()(name in "[a-z]{1,3}|[\"'\\\\\u{e4}.#\n\r\t=]{1,4}[a-z]|x[ -~]{0,6}y|x\r\ny") -> Option<String> {
        (!name.is_empty() && name.trim() == name).then_some(name)
    }
}

proptest! {
    /// Any names, quotes and line breaks among them, survive the file.
    #[test]
    fn every_schema_survives_its_file(
        task in name(), child in name(), labels in prop::collection::btree_set(name(), 1..5),
        description in "\\PC{0,20}", since in prop::option::of(0u32..9),
    ) {
        let labels: Vec<String> = labels.into_iter().flatten().collect();
        let (Some(task), Some(child)) = (task, child) else { return Ok(()) };
        prop_assume!(!labels.is_empty() && task != child);
        let parents = labels.iter().map(Label::named).collect();
        let children = labels.iter().map(|name| Label {
            name: format!("{name}/x"), parent: Some(name.clone()), since, description: Some(description.clone()),
        });
        let tasks = vec![
            Task::new(TaskName::new(&child), Some(TaskName::new(&task)), children.collect()).unwrap(),
            Task::new(TaskName::new(&task), None, parents).unwrap(),
        ];
        let change = Change { version: 2, task: TaskName::new(&child), edit: Edit::Rename { from: "\u{fc}\r\n'\"".into(), into: task.clone() } };
        let schema = Schema::new(2, tasks).unwrap().with_changes(vec![change]).unwrap();
        let again = Schema::from_toml(&schema.to_toml());
        prop_assert_eq!(again.map_err(|error| error.to_string()), Ok(schema.clone()), "{}", schema.to_toml());
    }
}
