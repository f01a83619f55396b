//! `format=flowed`: lines that a mail program broke and this one joins again (RFC 3676).
//!
//! Joined lines matter twice: a sentence in one piece reads better, and an attribution line
//! in one piece is easier to see. Quote marks are kept, the same depth on the joined line.

/// Joins flowed lines. `del_sp` is the `DelSp=yes` parameter: the space at the break goes too.
pub(crate) fn join(text: &str, del_sp: bool) -> String {
    let mut joined = String::with_capacity(text.len());
    // The quote depth of the paragraph that the next line may continue.
    let mut open: Option<usize> = None;
    for line in text.lines() {
        let depth = line.bytes().take_while(|&byte| byte == b'>').count();
        let content = &line[depth..];
        let content = content.strip_prefix(' ').unwrap_or(content);
        let signature = content == "-- ";
        if open.is_some_and(|above| above != depth || signature) {
            joined.push('\n');
            open = None;
        }
        if open.is_none() {
            joined.extend(std::iter::repeat_n('>', depth));
            if depth > 0 && !content.is_empty() {
                joined.push(' ');
            }
        }
        let flows = content.ends_with(' ') && !signature;
        joined.push_str(if flows && del_sp {
            &content[..content.len() - 1]
        } else {
            content
        });
        open = flows.then_some(depth);
        if !flows {
            joined.push('\n');
        }
    }
    if !text.ends_with('\n') && joined.ends_with('\n') {
        joined.pop();
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_within_a_depth_and_stops_at_the_signature() {
        assert_eq!(
            join("ein \nSatz\n> alt \n> neu\nich \n-- \nName", false),
            "ein Satz\n> alt neu\nich \n-- \nName"
        );
        assert_eq!(join("Donau \ndampfer", true), "Donaudampfer");
        assert_eq!(join(" >kein Zitat\n From hier", false), ">kein Zitat\nFrom hier");
    }
}
