//! Finds the known name a person most likely meant.

/// The known name nearest to `found`, or `None` when nothing is near enough to be a slip of the pen.
///
/// Near means at most a third of the longer name edited (at least one edit), letter case ignored.
/// The first of equally near names wins.
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = found.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for name in known {
        let edits = strsim::osa_distance(&wanted, &name.to_lowercase());
        let longer = wanted.chars().count().max(name.chars().count());
        if edits <= (longer / 3).max(1) && best.is_none_or(|(fewest, _)| edits < fewest) {
            best = Some((edits, name));
        }
    }
    best.map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn names_a_slip_and_stays_silent_on_a_stranger() {
        let known = ["version", "task", "change"];
        assert_eq!(nearest("verison", known), Some("version"));
        assert_eq!(nearest("Tasks", known), Some("task"));
        assert_eq!(nearest("colour", known), None);
    }
}
