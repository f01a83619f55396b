//! Earlier mails as they stand below an answer, and forwarded ones.

use crate::chance::Chance;
use crate::compose::{self, Letter};
use crate::facts::month_name;
use crate::manner::manner;
use crate::phrase::{Language, expand};
use crate::plan::Plan;
use crate::program::Program;
use crate::signature;
use jiff::Span;
use jiff::civil::{DateTime, Weekday};

/// An earlier mail.
#[derive(Debug, Clone)]
pub(crate) struct Quote {
    pub from: (String, String),
    pub to: (String, String),
    pub when: DateTime,
    pub subject: String,
    pub lines: Vec<String>,
    pub inner: Option<Box<Quote>>,
}

/// The company's address.
pub(crate) fn company() -> (String, String) {
    (
        "Depothafen Kundenservice".into(),
        "service@depothafen.example".into(),
    )
}

/// The lines of a letter as it was sent.
pub(crate) fn lines_of(letter: &Letter) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for block in letter.salutation.iter().chain(&letter.paragraphs) {
        lines.push(block.clone());
        lines.push(String::new());
    }
    lines.extend(letter.farewell.iter().cloned());
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// What stands below a follow-up: the company's answer to the mail before, and that mail.
pub(crate) fn history(plan: &Plan, depth: usize) -> Option<Quote> {
    let earlier = plan.earlier.as_deref()?;
    let mut chance = Chance::for_item(plan.seed, 4);
    let language = plan.voice.language;
    let letter = compose::letter(earlier);
    let author = (earlier.author.name(), earlier.author.address.clone());
    let inner = Quote {
        from: author.clone(),
        to: company(),
        when: earlier.when,
        subject: letter.subject.clone(),
        lines: lines_of(&letter),
        inner: (depth < 2)
            .then(|| history(earlier, depth + 1))
            .flatten()
            .map(Box::new),
    };
    if chance.odds(0.2) {
        return Some(inner);
    }
    let agent = *chance.pick(&["Svenja Reuter", "Torben Lammers", "Aleyna Koç", "Ihr Serviceteam"]);
    let noun = compose::matter(earlier, &mut chance);
    let reply = chance.pick(&manner(language).replies).replace("{noun}", &noun);
    let hello = match (language, earlier.author.woman) {
        (Language::German, true) => format!("Sehr geehrte Frau {},", earlier.author.last),
        (Language::German, false) => format!("Sehr geehrter Herr {},", earlier.author.last),
        (Language::English, _) => format!("Dear {},", earlier.author.name()),
    };
    let mut lines = vec![
        hello,
        String::new(),
        expand(&reply, plan.voice, &earlier.facts, &mut chance),
        String::new(),
    ];
    lines.extend(signature::company(language, agent));
    let gap = Span::new()
        .hours(chance.between(2, 20) as i64)
        .minutes(chance.between(0, 59) as i64);
    Some(Quote {
        from: company(),
        to: author,
        when: earlier.when.saturating_add(gap),
        subject: format!("AW: {}", letter.subject.trim_start_matches("AW: ")),
        lines,
        inner: chance.odds(0.75).then(|| Box::new(inner)),
    })
}

/// The client's mail that a broker passes on.
pub(crate) fn forwarded(plan: &Plan) -> Quote {
    let letter = compose::letter(plan);
    let client = plan.facts.client();
    Quote {
        from: (client.name(), client.address.clone()),
        to: (plan.author.name(), plan.author.address.clone()),
        when: plan.when.saturating_sub(Span::new().hours(3).minutes(17)),
        subject: letter.subject.clone(),
        lines: lines_of(&letter),
        inner: None,
    }
}

/// The line or block by which a program introduces a quoted mail.
pub(crate) fn introduction(quote: &Quote, program: Program, language: Language) -> Vec<String> {
    let german = language == Language::German;
    let Quote {
        from: (name, address),
        to: (to_name, to_address),
        when,
        subject,
        ..
    } = quote;
    let (day, month, year) = (when.day(), when.month(), when.year());
    let (hour, minute) = (when.hour(), when.minute());
    let weekday = weekday_name(when.weekday(), language);
    let long = month_name(language, month);
    let clock = format!("{hour:02}:{minute:02}");
    match (program, german) {
        (Program::Outlook | Program::Office, true) => vec![
            format!("Von: {name} <{address}>"),
            format!("Gesendet: {weekday}, {day}. {long} {year} {clock}"),
            format!("An: {to_name} <{to_address}>"),
            format!("Betreff: {subject}"),
        ],
        (Program::Outlook | Program::Office, false) => vec![
            format!("From: {name} <{address}>"),
            format!("Sent: {weekday}, {day} {long} {year} {clock}"),
            format!("To: {to_name} <{to_address}>"),
            format!("Subject: {subject}"),
        ],
        (Program::Gmail, true) => {
            let short: String = weekday.chars().take(2).collect();
            vec![format!(
                "Am {short}., {day}. {long} {year} um {clock} Uhr schrieb {name} <{address}>:"
            )]
        }
        (Program::Gmail, false) => {
            let short: String = weekday.chars().take(3).collect();
            vec![format!(
                "On {short}, {day} {long} {year} at {clock}, {name} <{address}> wrote:"
            )]
        }
        (Program::Phone | Program::Apple, true) => {
            vec![format!(
                "Am {day:02}.{month:02}.{year} um {clock} schrieb {name} <{address}>:"
            )]
        }
        (Program::Phone | Program::Apple, false) => {
            vec![format!(
                "On {day} {long} {year}, at {clock}, {name} <{address}> wrote:"
            )]
        }
        (Program::Thunderbird, true) => {
            vec![format!(
                "Am {day:02}.{month:02}.{:02} um {clock} schrieb {name}:",
                year % 100
            )]
        }
        (Program::Thunderbird, false) => {
            vec![format!("On {day:02}/{month:02}/{year} {clock}, {name} wrote:")]
        }
        (Program::Web, true) => vec![
            "-----Ursprüngliche Nachricht-----".into(),
            format!("Von: \"{name}\" <{address}>"),
            format!("Datum: {day:02}.{month:02}.{year}, {clock}"),
            format!("An: {to_address}"),
            format!("Betreff: {subject}"),
        ],
        (Program::Web, false) => vec![
            "-----Original Message-----".into(),
            format!("From: \"{name}\" <{address}>"),
            format!("Date: {day:02}.{month:02}.{year}, {clock}"),
            format!("To: {to_address}"),
            format!("Subject: {subject}"),
        ],
    }
}

/// The head of a forwarded block.
pub(crate) fn forward_introduction(quote: &Quote, program: Program, language: Language) -> Vec<String> {
    let german = language == Language::German;
    let title = match (program, german) {
        (Program::Outlook | Program::Office | Program::Web, _) => {
            return introduction(quote, program, language);
        }
        (Program::Gmail, true) => "---------- Forwarded message ---------",
        (Program::Thunderbird, true) => "-------- Weitergeleitete Nachricht --------",
        (_, true) => "Anfang der weitergeleiteten Nachricht:",
        (Program::Gmail, false) => "---------- Forwarded message ---------",
        (Program::Thunderbird, false) => "-------- Forwarded Message --------",
        (_, false) => "Begin forwarded message:",
    };
    let mut lines = vec![title.to_owned(), String::new()];
    lines.extend(introduction(quote, Program::Outlook, language));
    lines
}

fn weekday_name(weekday: Weekday, language: Language) -> &'static str {
    const GERMAN: [&str; 7] = [
        "Montag",
        "Dienstag",
        "Mittwoch",
        "Donnerstag",
        "Freitag",
        "Samstag",
        "Sonntag",
    ];
    const ENGLISH: [&str; 7] = [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ];
    let names = if language == Language::German {
        GERMAN
    } else {
        ENGLISH
    };
    names[weekday.to_monday_zero_offset() as usize]
}
