//! Finds the part of a mail that repeats earlier mails.
//!
//! A classifier should see what this sender wrote now. Quoted history holds other people's
//! words and often the label of the previous request, so leaving it in teaches the model
//! yesterday's answer.
//!
//! Evidence is of four kinds: prefix marks (`>`) or markup that says the same, an attribution
//! line ("Am … schrieb …:", on one to four lines), a separator ("-----Ursprüngliche
//! Nachricht-----"), and a header block (Von, Gesendet, An, Betreff). A marked block is cut and
//! what follows it is the sender's own again (answers between the lines); the other three
//! start a history that runs to the end.
//!
//! **Not here.** What a forward looks like: `forwarded.rs`.

use super::{Rule, forwarded};
use crate::lines::Line;
use crate::markers::{Label, Pattern, markers, pattern};
use std::ops::Range;
use std::sync::LazyLock;

/// An attribution is no longer than this, in bytes of its joined lines.
const ATTRIBUTION: usize = 360;

/// A header block is no longer than this, in lines; recipients may be many.
const HEADER: usize = 80;

/// A block of marked lines and the lines that introduce it.
pub(super) struct Quote {
    /// Lines like "Am … schrieb …:"; empty when the block has none.
    pub(super) intro: Range<usize>,
    pub(super) block: Range<usize>,
    pub(super) forward: bool,
    pub(super) rule: Rule,
}

/// An earlier mail from `start` to the end of its zone; its text begins at `content`.
pub(super) struct History {
    pub(super) start: usize,
    pub(super) content: usize,
    pub(super) forward: bool,
    pub(super) rule: Rule,
}

/// What a zone repeats: marked blocks, and at most one history behind them.
#[derive(Default)]
pub(super) struct Found {
    pub(super) quotes: Vec<Quote>,
    pub(super) history: Option<History>,
}

/// Reads the lines of `zone`; those deeper than `base` are quoted.
pub(super) fn find(lines: &[Line<'_>], zone: Range<usize>, base: usize) -> Found {
    let mut found = Found::default();
    let mut attributions = Attributions { last: None };
    // Lines before this one are taken by a quote.
    let mut free = zone.start;
    let mut at = zone.start;
    while at < zone.end {
        let line = &lines[at];
        if line.is_blank() && line.depth <= base {
            at += 1;
            continue;
        }
        if line.depth > base {
            let block = at..block_end(lines, at..zone.end, base);
            let intro = loose_intro(lines, free..at, base);
            if is_quote(lines, &block, intro.len(), !found.quotes.is_empty()) {
                let forward = forwarded::starts(lines, &block);
                at = block.end;
                free = at;
                found.quotes.push(Quote {
                    intro,
                    block,
                    forward,
                    rule: Rule::Marked,
                });
            } else {
                at = block.end;
            }
            continue;
        }
        if let Some(mut history) = divider(lines, at..zone.end, base) {
            history.start = before_rule(lines, free..history.start);
            found.history = Some(history);
            break;
        }
        if let Some((end, strong)) = attributions.at(lines, at..zone.end, base) {
            let next = (end..zone.end.min(end + 4)).find(|&next| !lines[next].is_blank());
            if let Some(next) = next.filter(|&next| lines[next].depth > base) {
                let block = next..block_end(lines, next..zone.end, base);
                let forward = forwarded::starts(lines, &block);
                let start = before_rule(lines, free..at);
                found.quotes.push(Quote {
                    intro: start..next,
                    block: block.clone(),
                    forward,
                    rule: Rule::Attribution,
                });
                at = block.end;
                free = at;
                continue;
            }
            if strong {
                let start = before_rule(lines, free..at);
                found.history = Some(History {
                    start,
                    content: end,
                    forward: false,
                    rule: Rule::Attribution,
                });
                break;
            }
        }
        at += 1;
    }
    found
}

/// The end of a block of quoted lines, with blank lines and broken ends of long lines inside.
fn block_end(lines: &[Line<'_>], range: Range<usize>, base: usize) -> usize {
    let mut end = range.start + 1;
    let mut at = end;
    while at < range.end {
        let line = &lines[at];
        if line.depth > base {
            end = at + 1;
        } else if line.is_blank() {
            // A gap of blank lines may go on.
            if at - end >= 3 {
                break;
            }
        } else if at == end
            && lines[at - 1].end - lines[at - 1].start >= 56
            && line.words.len() < lines[at - 1].end - lines[at - 1].start
            && lines
                .get(at + 1)
                .is_some_and(|next| at + 1 < range.end && next.depth > base)
            && line
                .words
                .starts_with(|first: char| first.is_lowercase() || first.is_numeric() || first == '<')
        {
            // The rest of a quoted line that a mail program broke.
            end = at + 1;
        } else {
            break;
        }
        at += 1;
    }
    end
}

/// True when a marked block is a quote and not a stray `>`, as in a pasted command.
fn is_quote(lines: &[Line<'_>], block: &Range<usize>, intro: usize, others: bool) -> bool {
    let marked = lines[block.clone()]
        .iter()
        .filter(|line| line.depth > 0 && !line.is_blank())
        .count();
    let markup = lines[block.start].depth > lines[block.start].marks;
    if marked == 1 && intro == 0 && !markup && compares(lines, block.start) {
        return false;
    }
    intro > 0 || marked != 1 || markup || others || lines[block.start].words.split_whitespace().count() >= 3
}

/// A sentence broken before "> 500 Euro": a number behind the mark, the middle of a line above it.
fn compares(lines: &[Line<'_>], at: usize) -> bool {
    let above = at.checked_sub(1).map(|above| lines[above].words);
    lines[at].words.starts_with(|c: char| c.is_ascii_digit())
        && above.is_some_and(|words| words.ends_with(char::is_alphanumeric))
}

/// Lines just before a quote that introduce it without the form of an attribution.
fn loose_intro(lines: &[Line<'_>], before: Range<usize>, base: usize) -> Range<usize> {
    let end = before.end;
    let Some(last) = before.clone().rev().take(3).find(|&at| !lines[at].is_blank()) else {
        return end..end;
    };
    let mut start = last;
    let mut joined = lines[last].words.to_owned();
    for _ in 0..3 {
        let says = markers().attribution_verb.is_match(&joined)
            && joined.contains(|c: char| c.is_ascii_digit() || c == '@');
        let dated = joined.contains('@')
            && joined.contains('<')
            && joined.starts_with(|c: char| c.is_ascii_digit())
            && joined.matches(|c: char| c.is_ascii_digit()).count() >= 6;
        let bare = joined.contains('@') && joined.ends_with(':') && joined.len() < 120;
        let separator =
            markers().separator_reply.is_match(&joined) || markers().separator_forward.is_match(&joined);
        if joined.len() <= ATTRIBUTION && (says || dated || bare || separator) && !is_list_item(&joined) {
            return before_rule(lines, before.start..start)..end;
        }
        if start == before.start || lines[start - 1].is_blank() || lines[start - 1].depth > base {
            break;
        }
        start -= 1;
        joined = format!("{} {joined}", lines[start].words);
    }
    end..end
}

fn is_list_item(line: &str) -> bool {
    line.starts_with("- ") || line.starts_with("* ")
}

/// Steps back over ruled lines and blanks that stand before a divider.
fn before_rule(lines: &[Line<'_>], range: Range<usize>) -> usize {
    let mut start = range.end;
    for at in range.rev().take(4) {
        if is_rule(lines[at].words) {
            start = at;
        } else if !lines[at].is_blank() {
            break;
        }
    }
    start
}

/// A line drawn with dashes, underscores, dots or the like.
pub(super) fn is_rule(words: &str) -> bool {
    words.len() >= 3
        && words.chars().all(|c| {
            matches!(
                c,
                '-' | '_' | '=' | '*' | '.' | '~' | '#' | '–' | '—' | '·' | ' ' | '+' | '|' | '─' | '━'
            )
        })
}

/// A separator, a header block or a markup divider at the first line of `range`.
fn divider(lines: &[Line<'_>], range: Range<usize>, base: usize) -> Option<History> {
    let markers = markers();
    let start = range.start;
    let line = &lines[start];
    let after = |at: usize| (at..range.end.min(at + 4)).find(|&next| !lines[next].is_blank());
    let with_header = |content: usize, forward: bool, rule: Rule| {
        let header = after(content).and_then(|next| header_block(lines, next..range.end));
        let content = header.as_ref().map_or(content, |header| header.end);
        Some(History {
            start,
            content,
            forward,
            rule,
        })
    };
    if line.words.len() < 1200 {
        if markers.separator_forward.is_match(line.words) {
            return with_header(start + 1, true, Rule::Separator);
        }
        if markers.separator_reply.is_match(line.words) {
            return with_header(start + 1, false, Rule::Separator);
        }
        if markers.separator_above.is_match(line.words) {
            return with_header(start + 1, false, Rule::ReplyAbove);
        }
    }
    if let Some(header) = header_block(lines, range.clone()) {
        return Some(History {
            start,
            content: header.end,
            forward: false,
            rule: Rule::HeaderBlock,
        });
    }
    if one_line_header(line.words) {
        return Some(History {
            start,
            content: start + 1,
            forward: false,
            rule: Rule::HeaderLine,
        });
    }
    if let Some(content) = notes_header(lines, range.clone()) {
        return Some(History {
            start,
            content,
            forward: false,
            rule: Rule::HeaderNotes,
        });
    }
    // A long underscore line is Outlook's; one header below it is enough.
    if line.words.len() >= 20 && line.words.bytes().all(|byte| byte == b'_') {
        let next = after(start + 1)?;
        if lines[next].depth == line.depth
            && matches!(markers.label(lines[next].words), Some((Label::From, _)))
        {
            let labels = (next..range.end)
                .take_while(|&at| markers.label(lines[at].words).is_some())
                .count();
            return Some(History {
                start,
                content: next + labels,
                forward: false,
                rule: Rule::HeaderBlock,
            });
        }
    }
    if line.history && line.depth <= base {
        return with_header(start, false, Rule::Markup);
    }
    None
}

/// A line that holds a whole header block: three labels and an address.
fn one_line_header(line: &str) -> bool {
    line.contains('@')
        && line.len() < 1200
        && markers().header_inside.count(line, 3) == 3
        && markers()
            .label(line.trim_start_matches(['-', ' ']))
            .is_some_and(|(label, _)| label == Label::From)
}

/// The lines of a header block that starts at the first line of `range`.
pub(super) fn header_block(lines: &[Line<'_>], range: Range<usize>) -> Option<Range<usize>> {
    let markers = markers();
    let first = &lines[range.start];
    if !matches!(
        markers.label(first.words)?.0,
        Label::From | Label::Sent | Label::To | Label::Subject
    ) {
        return None;
    }
    let (mut from, mut sent, mut to, mut subject) = (false, false, false, false);
    let (mut labels, mut address, mut folded, mut gap) = (0, false, 0, 0);
    let (mut sentence, mut timed) = (false, false);
    let mut end = range.start;
    let mut last = Label::Other;
    let mut at = range.start;
    while at < range.end.min(range.start + HEADER) {
        let line = &lines[at];
        if line.depth != first.depth && !line.is_blank() {
            break;
        }
        if line.is_blank() {
            gap += 1;
            // Markdown and some HTML put a blank line between the headers.
            if gap > 2 {
                break;
            }
        } else if let Some((label, value)) = markers.label(line.words) {
            // A second From starts the next block.
            if label == Label::From && from {
                break;
            }
            sentence |= label == Label::From && is_sentence(&line.words[value..]);
            timed |= label == Label::Sent && shows_time(&line.words[value..]);
            // After a gap only a header not seen yet belongs to this block.
            let seen = match label {
                Label::From => std::mem::replace(&mut from, true),
                Label::Sent => std::mem::replace(&mut sent, true),
                Label::To => std::mem::replace(&mut to, true),
                Label::Subject => std::mem::replace(&mut subject, true),
                Label::Other => gap > 0 && !line.words.contains('@'),
            };
            if seen && (gap > 0 || label != Label::Other) {
                break;
            }
            labels += 1;
            address |= line.words.contains('@');
            last = label;
            end = at + 1;
            gap = 0;
        } else {
            // A long list of recipients or a long subject, folded.
            let folds = gap == 0
                && (matches!(last, Label::To | Label::Other) && line.words.contains(['@', ';'])
                    || (at + 1..range.end.min(at + 3)).any(|next| {
                        markers
                            .label(lines[next].words)
                            .is_some_and(|(label, _)| match label {
                                Label::From => !from,
                                Label::Sent => !sent,
                                Label::To => !to,
                                Label::Subject => !subject,
                                Label::Other => false,
                            })
                    }));
            folded += 1;
            if !folds || folded > 12 {
                break;
            }
            address |= line.words.contains('@');
            end = at + 1;
        }
        at += 1;
    }
    let enough = from
        && (labels >= 3 && (subject || address || timed && to)
            || labels >= 2 && address && (sent || subject || to));
    // Apple Mail and others leave out the sender when they forward.
    let unsigned = sent && to && subject && address;
    // A web form has a sender and a subject too, but no date, and fields that no mail has.
    let form = !sent
        && (range.start..range.end.min(end + 1))
            .map(|at| lines[at].words)
            .any(|words| is_field(words) && markers.label(words).is_none());
    let prose = sentence && !sent && !address;
    ((enough || unsigned) && !form && !prose).then_some(range.start..end)
}

/// True when a value holds a time of day, between marks of direction or not.
fn shows_time(value: &str) -> bool {
    let value = value.replace(['\u{200e}', '\u{200f}'], "");
    value
        .as_bytes()
        .windows(3)
        .any(|three| three[0].is_ascii_digit() && three[1] == b':' && three[2].is_ascii_digit())
}

/// What no sender is called: "od stycznia nie ma wyciągu.", "Von: 1.3.2026".
fn is_sentence(value: &str) -> bool {
    let value = value.trim();
    value.starts_with(|first: char| first.is_lowercase() || first.is_ascii_digit())
        || value.ends_with(['?', '!'])
}

/// "Message: …": a short name and a colon.
fn is_field(words: &str) -> bool {
    words.split_once(':').is_some_and(|(name, _)| {
        name.starts_with(char::is_uppercase)
            && name.len() <= 24
            && name.split(' ').count() <= 2
            && name
                .chars()
                .all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '/'))
    })
}

/// The end of a Notes header: a name or address with date and time, then To and Subject.
fn notes_header(lines: &[Line<'_>], range: Range<usize>) -> Option<usize> {
    let first = range.start;
    let words = lines[first].words;
    if words.len() > 160 {
        return None;
    }
    // The date stands behind the name, or on a line of its own below it.
    let dated =
        |at: usize| at < range.end && lines[at].words.len() <= 160 && DATE_TIME.is_match(lines[at].words);
    let date = if dated(first) {
        first
    } else if words.split_whitespace().count() <= 6
        && !words.ends_with(['.', '?', '!', ',', ':'])
        && dated(first + 1)
    {
        first + 1
    } else if words.split_whitespace().count() <= 6
        && (first + 1..range.end)
            .next()
            .is_some_and(|next| is_bracketed(lines[next].words))
        && dated(first + 2)
    {
        first + 2
    } else {
        return None;
    };
    let (mut to, mut subject, mut end) = (false, false, None);
    let below = date + 1..range.end.min(date + 16);
    for (at, line) in below.clone().zip(&lines[below]) {
        match notes_label(line.words) {
            Some((Label::To, _)) => to = true,
            Some((Label::Subject, above)) if to => {
                subject = true;
                let value = above && lines.get(at + 1).is_some_and(|line| !line.is_blank());
                end = Some(at + 1 + usize::from(value && at + 1 < range.end));
                break;
            }
            Some(_) => {}
            // Between the headers stand only folded addresses.
            None if to || line.is_blank() || at <= date + 2 => {}
            None => return None,
        }
        if !to && at > date + 4 {
            return None;
        }
    }
    end.filter(|_| to && subject)
}

/// The header a line begins with, and whether it stands alone above its value, without a colon.
fn notes_label(words: &str) -> Option<(Label, bool)> {
    if let Some((label, _)) = markers().label(words) {
        return Some((label, false));
    }
    let alone = !words.is_empty() && words.len() <= 24 && !words.contains([' ', ':', '@']);
    let (label, _) = alone.then(|| markers().label(&format!("{words}:"))).flatten()?;
    Some((label, true))
}

/// A line that is nothing but "<eva@example.com>".
fn is_bracketed(words: &str) -> bool {
    words.len() <= 120 && words.starts_with('<') && words.ends_with('>') && words.contains('@')
}

/// A line that ends with date and time.
static DATE_TIME: LazyLock<Pattern> = LazyLock::new(|| {
    pattern(r"\d{1,2}[./]\d{1,2}[./]\d{2,4},? \d{1,2}:\d{2}(:\d{2})?( ?[ap]m)?( [a-z]{2,4})?$")
});

/// Finds attribution lines; remembers the last line examined, so every line is examined once.
struct Attributions {
    last: Option<(usize, Option<(usize, bool)>)>,
}

impl Attributions {
    /// Where the attribution ends that begins at the first line of `range`, and whether its
    /// own words are evidence enough to start a history without `>` marks.
    fn at(&mut self, lines: &[Line<'_>], range: Range<usize>, base: usize) -> Option<(usize, bool)> {
        let start = range.start;
        if lines[start].attribution {
            let end = (start..range.end)
                .find(|&at| !lines[at].attribution || lines[at].is_blank())
                .unwrap_or(range.end);
            return Some((end.max(start + 1), true));
        }
        let last = (start..range.end.min(start + 4))
            .take_while(|&at| !lines[at].is_blank() && lines[at].depth <= base)
            .find(|&at| ends_like_attribution(lines[at].words))?;
        let best = match self.last {
            Some((examined, best)) if examined == last => best,
            _ => best_start(lines, start..last + 1),
        };
        self.last = Some((last, best));
        let (best, strong) = best?;
        (best == start).then_some((last + 1, strong))
    }
}

fn ends_like_attribution(words: &str) -> bool {
    words.trim_end_matches(['*', '_', ' ']).ends_with([':', '：'])
        || words.ends_with("----") && words.starts_with("--")
        || words.ends_with('>') && dated(words)
        // Some programs leave out the colon.
        || words.len() <= ATTRIBUTION && ends_with_verb(words)
}

/// True when a line begins with digits as a date or a time does.
fn dated(words: &str) -> bool {
    let first = words.split_whitespace().next().unwrap_or_default();
    first.starts_with(|c: char| c.is_ascii_digit())
        && first
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | '/' | '-' | ':' | ','))
}

/// "… 2026 10:00 Eva <eva@example.com> wrote", without a colon: time, address and verb are evidence enough.
fn ends_with_verb(words: &str) -> bool {
    let Some(end) = words.rfind(['>', ')']) else {
        return false;
    };
    let verb = words[end + 1..].trim();
    (1..=24).contains(&verb.len())
        && words.contains('@')
        && has_time(words)
        && markers()
            .attribution_verb
            .find(verb)
            .is_some_and(|found| found.end() == verb.len())
}

/// The line at which the attribution that ends with `range` starts.
fn best_start(lines: &[Line<'_>], range: Range<usize>) -> Option<(usize, bool)> {
    let markers = markers();
    let mut joined = String::new();
    let mut best = None;
    for at in range.rev() {
        let words = lines[at].words;
        if joined.len() + words.len() > ATTRIBUTION {
            break;
        }
        joined = if joined.is_empty() {
            words.to_owned()
        } else {
            format!("{words} {joined}")
        };
        let dated = dated(words) && joined.contains('@');
        let whole: &str = if dated && joined.ends_with('>') || ends_with_verb(&joined) {
            &format!("{joined}:")
        } else {
            &joined
        };
        if !(dated || markers.attribution_verb.is_match(&joined)) || !markers.attribution.is_match(whole) {
            continue;
        }
        let opens = opens(words) || dated && best.is_none();
        if best.is_none() || opens {
            let address = joined.contains('@');
            let prose = markers.attribution_prose.is_match(&joined) && !address;
            best = Some((at, !prose && (address || has_time(&joined))));
            // A time may open the second line of what a preposition opened on the first.
            if opens && !dated {
                break;
            }
        }
    }
    best
}

/// True when a line begins the way attributions do: a preposition or a weekday, then a date.
fn opens(words: &str) -> bool {
    let mut parts = words.trim_start_matches(['-', '*', '|', ' ']).split_whitespace();
    let (Some(first), second) = (parts.next(), parts.next().unwrap_or_default()) else {
        return false;
    };
    let first = first.trim_end_matches([',', '.']).to_lowercase();
    let digits = words.bytes().filter(u8::is_ascii_digit).count();
    // "pon., 2 mar 2026 o 16:12"
    let weekday = first.chars().count() <= 4
        && first.chars().all(char::is_alphabetic)
        && second.starts_with(|c: char| c.is_ascii_digit())
        && digits >= 5
        && !words.ends_with(['.', '?', '!']);
    weekday
        || digits > 0
            && matches!(
                first.as_str(),
                "am" | "on"
                    | "le"
                    | "el"
                    | "em"
                    | "il"
                    | "op"
                    | "w"
                    | "den"
                    | "dne"
                    | "dnia"
                    | "at"
                    | "no"
                    | "zitat"
                    | "quoting"
            )
}

/// True when a text holds a time of day or a full date.
fn has_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let time = bytes
        .windows(4)
        .any(|w| w[0].is_ascii_digit() && w[1] == b':' && w[2].is_ascii_digit() && w[3].is_ascii_digit());
    let year = bytes
        .windows(4)
        .any(|w| matches!(&w[..2], b"19" | b"20") && w[2].is_ascii_digit() && w[3].is_ascii_digit());
    time || year && bytes.iter().filter(|byte| byte.is_ascii_digit()).count() >= 5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::split;

    /// What is left of a mail after its quotes and history.
    fn own(body: &str) -> String {
        let lines = split(body, &[]);
        let found = find(&lines, 0..lines.len(), 0);
        let end = found
            .history
            .as_ref()
            .map_or(lines.len(), |history| history.start);
        let quoted = |at| {
            found
                .quotes
                .iter()
                .any(|quote| quote.intro.contains(&at) || quote.block.contains(&at))
        };
        (0..end)
            .filter(|&at| !quoted(at))
            .map(|at| lines[at].words)
            .collect::<Vec<_>>()
            .join("\n")
            .trim()
            .to_owned()
    }

    #[test]
    fn cuts_attributions_wrapped_over_lines() {
        for body in [
            "Ja\n\nAm 01.12.2025 um 11:23 schrieb Max Muster:\n> alt",
            "Ja\n\nMax Muster <max@example.com> schrieb am Di., 16. Aug. 2016\num 12:52 Uhr:\n\n> alt\n> alt",
            "Ja\n\nAm Di., 16. Aug. 2016 um 12:52 Uhr schrieb Max Muster mit langem Namen\n<\nmax@example.com>:\n\nalt",
            "Ja\n\nOn Tue, Jun 17, 2025 at 7:42 PM, Max <max@example.com>\nwrote:\n\n> alt",
            "Ja\n\nAm 17.06.2025 um 19:42 Uhr schrieb Max <\n4711abc@example.com>:\n\nalt",
            "Ja\n\nOn Tue, 17 Jun 2025 07:42:11 +0200 Max <max@example.com> wrote\n\nalt",
            "Ja\n-----Ursprüngliche Nachricht-----\nalt",
            "Ja\n\nVon: Max [mailto:max@example.com]\nGesendet: Montag, 3. Mai 2026 10:00\nAn: Eva\nBetreff: Konto\n\nalt",
            "Ja\n\n________________________________\n*Von:* Max <max@example.com>\n*Gesendet:* Montag\n*An:* Eva\n*Betreff:* Konto\n\nalt",
            "Ja\n\nOn 14 Nov 2025 08:14 Max <max@example.com> wrote\n\nalt",
            "Ja\n\nOn Nov 30, 2025, at 12:47 PM, Max <\n416ff@example.com>\nwrote:\n\nalt",
            "Ja\n\n11:00 AM, November 17, 2025, \"Max\" <max@example.com>:\n\nalt",
            "Ja\n\nMax/Kiel/Example\n02/03/2026 16:12\n\nAn\nEva/Kiel/Example\nKopie\n\nThema\nKonto\n\nalt",
            "Ja\n\nFrom: Max <max@example.com>\nSent: Monday\nTo: Eva\nSubject: Account\nold",
        ] {
            assert_eq!(own(body), "Ja", "{body}");
        }
    }

    #[test]
    fn keeps_answers_between_the_lines() {
        let body = "Am 1.2.2026 schrieb Max:\n> Wann?\n\nMorgen.\n\n> Wo?\n> Hier?\nDort.";
        assert_eq!(own(body), "Morgen.\n\nDort.");
    }

    #[test]
    fn prose_that_looks_like_a_header_stays() {
        for body in [
            "From: Ana <ana@example.com>\nSubject: Address\nMessage: We moved.",
            "Von: Ana\nE-Mail: ana@example.com\nTelefon: 040 1234567\nBetreff: Umzug\nNachricht:\nWir ziehen um.",
            "Von mir aus: gerne.\nAn: niemanden gerichtet.",
            "Am Montag schrieb ich Ihnen folgendes:\nIch kündige.",
            "Betreff: Kündigung\n\nHiermit kündige ich.",
            "Ich schrieb gestern:\nbitte sperren",
            "Unter der Adresse (max@example.com) schrieb mir jemand,\nich solle zahlen.",
            "ls -l > datei\nmehr Text",
        ] {
            assert_eq!(own(body), body);
        }
    }
}
