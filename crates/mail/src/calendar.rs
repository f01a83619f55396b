//! A calendar part as lines a person would read (RFC 5545).
//!
//! An invitation often has no other text. What counts is what the meeting is about, when and
//! where; the lines hold the calendar's own words and no labels, since those would be in one language.

/// Joins folded lines of the raw part: a fold may fall inside a character, so this comes before
/// the charset.
pub(crate) fn unfold(raw: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        let rest = &raw[at..];
        let fold = match rest {
            [b'\r', b'\n', b' ' | b'\t', ..] => 3,
            [b'\n', b' ' | b'\t', ..] => 2,
            _ => 0,
        };
        if fold == 0 {
            joined.push(rest[0]);
        }
        at += fold.max(1);
    }
    joined
}

/// The readable lines of unfolded calendar text; `None` when it holds none.
pub(crate) fn text(calendar: &str) -> Option<String> {
    let (mut summary, mut start, mut end, mut place, mut description) = Default::default();
    let mut inside = false;
    for line in calendar.lines() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let name = name.split(';').next().unwrap_or_default();
        match (name.to_ascii_uppercase().as_str(), value.trim()) {
            ("BEGIN", kind) => inside = matches!(kind, "VEVENT" | "VTODO" | "VJOURNAL"),
            // Time zones and alarms have descriptions too.
            ("END", "VALARM" | "VTIMEZONE") => inside = true,
            _ if !inside => {}
            ("SUMMARY", value) => summary = unescaped(value),
            ("DTSTART", value) => start = moment(value),
            ("DTEND" | "DUE", value) => end = moment(value),
            ("LOCATION", value) => place = unescaped(value),
            ("DESCRIPTION", value) => description = unescaped(value),
            _ => {}
        }
    }
    let when = match (start, end) {
        (Some(start), Some(end)) => format!("{start} – {end}"),
        (start, end) => start.or(end).unwrap_or_default(),
    };
    let lines: Vec<String> = [summary, when, place, description]
        .into_iter()
        .map(|line: String| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// A text value without its escapes (section 3.3.11).
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut escaped = false;
    for c in value.chars() {
        match (std::mem::take(&mut escaped), c) {
            (false, '\\') => escaped = true,
            (true, 'n' | 'N') => text.push('\n'),
            _ => text.push(c),
        }
    }
    text
}

/// `20260503T100000Z` as `2026-05-03 10:00`; another form as it stands.
fn moment(value: &str) -> Option<String> {
    let digits = |range: std::ops::Range<usize>| {
        value
            .get(range)
            .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let Some(((year, month), day)) = digits(0..4).zip(digits(4..6)).zip(digits(6..8)) else {
        return (!value.is_empty()).then(|| value.to_owned());
    };
    let time = digits(9..11).zip(digits(11..13));
    let time = time
        .map(|(hour, minute)| format!(" {hour}:{minute}"))
        .unwrap_or_default();
    Some(format!("{year}-{month}-{day}{time}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_invitation() {
        let raw = b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VTIMEZONE\r\nDTSTART:19700101T000000\r\nEND:VTIMEZONE\r\n\
            BEGIN:VEVENT\r\nSUMMARY;LANGUAGE=de:Beratung zum Dep\xc3\r\n \xb6t\r\nDTSTART;TZID=Berlin:20260503T100000\r\nDTEND:20260503T110000Z\r\n\
            LOCATION:Filiale Kiel\\, Raum 2\r\nDESCRIPTION:Bitte Ausweis\r\n\tmitbringen.\\nDanke\\;\r\n\
            BEGIN:VALARM\r\nDESCRIPTION:REMINDER\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        let calendar = String::from_utf8(unfold(raw)).unwrap();
        assert_eq!(
            text(&calendar).unwrap(),
            "Beratung zum Depöt\n2026-05-03 10:00 – 2026-05-03 11:00\nFiliale Kiel, Raum 2\nBitte Ausweismitbringen.\nDanke;"
        );
    }

    #[test]
    fn odd_calendars_are_read_as_far_as_they_go() {
        assert_eq!(text("BEGIN:VCALENDAR\nEND:VCALENDAR"), None);
        assert_eq!(text("BEGIN:VEVENT\nDTSTART:bald").as_deref(), Some("bald"));
        assert_eq!(
            text("BEGIN:VEVENT\nDTSTART:2026ä503\nSUMMARY:x\\"),
            Some("x\n2026ä503".into())
        );
        assert_eq!(unfold(b" \r\n \n\t"), b" ");
    }
}
