//! Chooses labels that agree with the hierarchy between tasks.
//!
//! Heads answer independently, so the favourite queue may belong to another business unit than the favourite
//! unit. Answering both would be nonsense, and following the parent blindly would let one weak vote overrule a sure
//! child. So the whole assignment is chosen at once: among those in which every child's label stands below its
//! parent's label, the one with the highest product of the heads' probabilities. On a tree this is exact
//! (max-product from the leaves up, then down).
//!
//! A parent label without any label below it leaves the child task unanswered. Such a parent is charged what the child head's
//! favourite would have cost, so having no children is neither a bonus nor a bar.

use poststelle_labels::{ClassIndex, Schema};

/// The hierarchy of a schema, in positions.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    /// Per task: its parent task.
    parent: Vec<Option<usize>>,
    /// Per task and class: the parent task's class it stands below.
    above: Vec<Vec<Option<usize>>>,
    /// Task positions, parents before children.
    order: Vec<usize>,
}

impl Hierarchy {
    /// Reads the hierarchy of a schema.
    pub fn of(schema: &Schema) -> Self {
        let tasks = schema.tasks();
        let parent: Vec<Option<usize>> = tasks
            .iter()
            .map(|task| {
                task.parent()
                    .and_then(|name| tasks.iter().position(|other| other.name() == name))
            })
            .collect();
        let above = tasks
            .iter()
            .map(|task| {
                (0..task.len())
                    .map(|class| {
                        schema
                            .parent_class(task, ClassIndex::from(class))
                            .map(ClassIndex::position)
                    })
                    .collect()
            })
            .collect();
        let depth = |task: usize| {
            std::iter::successors(parent[task], |&at| parent[at])
                .take(tasks.len())
                .count()
        };
        let mut order: Vec<usize> = (0..tasks.len()).collect();
        order.sort_by_key(|&task| depth(task));
        Self { parent, above, order }
    }

    /// Chooses one class per task, or none where the chosen parent has no label in this task.
    ///
    /// `probabilities` holds one row per task in schema order. On ties the lower class index wins.
    pub fn decode(&self, probabilities: &[&[f32]]) -> Vec<Option<usize>> {
        let mut scores: Vec<Vec<f64>> = probabilities
            .iter()
            // A probability rounded to 0 is still possible when nothing else is left.
            .map(|row| {
                row.iter()
                    .map(|&p| f64::from(p.max(f32::MIN_POSITIVE)).ln())
                    .collect()
            })
            .collect();
        for &task in self.order.iter().rev() {
            let Some(parent) = self.parent[task] else { continue };
            let favourite = scores[task].iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let mut below = vec![f64::NEG_INFINITY; scores[parent].len()];
            for (class, above) in self.above[task].iter().enumerate() {
                if let Some(above) = *above {
                    below[above] = below[above].max(scores[task][class]);
                }
            }
            for (score, below) in scores[parent].iter_mut().zip(below) {
                *score += if below.is_finite() { below } else { favourite };
            }
        }
        let mut chosen: Vec<Option<usize>> = vec![None; scores.len()];
        for &task in &self.order {
            chosen[task] = (0..scores[task].len())
                .filter(|&class| self.allows(&chosen, task, class))
                .reduce(|best, class| {
                    if scores[task][class] > scores[task][best] {
                        class
                    } else {
                        best
                    }
                });
        }
        chosen
    }

    /// Whether a task's class stands below what was chosen for the task's parent.
    pub fn allows(&self, chosen: &[Option<usize>], task: usize, class: usize) -> bool {
        match self.parent[task] {
            None => true,
            Some(parent) => chosen[parent].is_some() && self.above[task][class] == chosen[parent],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poststelle_labels::{Label, Task, TaskName};

    fn task(name: &str, parent: Option<&str>, labels: &[(&str, Option<&str>)]) -> Task {
        let labels = labels
            .iter()
            .map(|(name, parent)| Label {
                parent: parent.map(str::to_owned),
                ..Label::named(*name)
            })
            .collect();
        Task::new(TaskName::new(name), parent.map(TaskName::new), labels).unwrap()
    }

    /// unit {a, b, lone} ← queue {a1, a2, b1}; priority stands alone; the child is listed first.
    fn hierarchy() -> Hierarchy {
        let schema = Schema::new(
            1,
            vec![
                task(
                    "queue",
                    Some("unit"),
                    &[("a1", Some("a")), ("a2", Some("a")), ("b1", Some("b"))],
                ),
                task("unit", None, &[("a", None), ("b", None), ("lone", None)]),
                task("priority", None, &[("low", None), ("high", None)]),
            ],
        )
        .unwrap();
        Hierarchy::of(&schema)
    }

    #[test]
    fn independent_tasks_take_their_favourite() {
        let chosen = hierarchy().decode(&[&[0.1, 0.8, 0.1], &[0.9, 0.1, 0.0], &[0.2, 0.8]]);
        assert_eq!(chosen, [Some(1), Some(0), Some(1)]);
    }

    #[test]
    fn a_sure_child_overrules_a_weak_parent_and_the_other_way_round() {
        let chosen = hierarchy().decode(&[&[0.02, 0.03, 0.95], &[0.55, 0.45, 0.0], &[0.5, 0.5]]);
        assert_eq!(chosen, [Some(2), Some(1), Some(0)]);
        let chosen = hierarchy().decode(&[&[0.3, 0.2, 0.5], &[0.97, 0.03, 0.0], &[0.5, 0.5]]);
        assert_eq!(chosen, [Some(0), Some(0), Some(0)]);
    }

    #[test]
    fn a_childless_parent_leaves_the_child_unanswered() {
        let chosen = hierarchy().decode(&[&[0.4, 0.3, 0.3], &[0.1, 0.1, 0.8], &[0.5, 0.5]]);
        assert_eq!(chosen, [None, Some(2), Some(0)]);
    }

    #[test]
    fn zeros_still_leave_a_choice() {
        let chosen = hierarchy().decode(&[&[0.0, 0.0, 1.0], &[1.0, 0.0, 0.0], &[0.0, 0.0]]);
        assert!(matches!(chosen[..], [Some(_), Some(_), Some(0)]));
    }

    /// The slow twin: every legal assignment tried.
    #[test]
    fn equals_trying_every_assignment() {
        let schema = Schema::new(
            1,
            vec![
                task("unit", None, &[("a", None), ("b", None)]),
                task(
                    "queue",
                    Some("unit"),
                    &[("a1", Some("a")), ("a2", Some("a")), ("b1", Some("b"))],
                ),
                task(
                    "topic",
                    Some("queue"),
                    &[
                        ("x", Some("a1")),
                        ("y", Some("a2")),
                        ("z", Some("b1")),
                        ("w", Some("b1")),
                    ],
                ),
                task(
                    "tone",
                    Some("unit"),
                    &[
                        ("a-calm", Some("a")),
                        ("b-calm", Some("b")),
                        ("b-cross", Some("b")),
                    ],
                ),
            ],
        )
        .unwrap();
        let hierarchy = Hierarchy::of(&schema);
        let mut state = 1u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 + 1.0) / (1u64 << 24) as f32
        };
        for _ in 0..300 {
            let rows: Vec<Vec<f32>> = schema
                .tasks()
                .iter()
                .map(|t| (0..t.len()).map(|_| random()).collect())
                .collect();
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let mut best: (f64, Vec<Option<usize>>) = (f64::NEG_INFINITY, vec![]);
            for code in 0..2 * 3 * 4 * 3 {
                let pick = [code % 2, code / 2 % 3, code / 6 % 4, code / 24];
                let legal = [0, 1, 0]
                    .iter()
                    .zip(1..)
                    .all(|(&parent, child)| hierarchy.above[child][pick[child]] == Some(pick[parent]));
                let score: f64 = pick
                    .iter()
                    .zip(&rows)
                    .map(|(&c, row)| f64::from(row[c]).ln())
                    .sum();
                if legal && score > best.0 {
                    best = (score, pick.iter().copied().map(Some).collect());
                }
            }
            assert_eq!(hierarchy.decode(&rows), best.1);
        }
    }
}
