//! Mails as one HTML page: no script, no outside resource, light and dark, fit for print.

use super::{Amount, Block, Piece, Tally, blocks, defects, one_line, pieces};
use crate::{CleanText, Cut, CutKind, Rule, Span};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");

/// Nothing is fetched and nothing runs, whatever a mail holds; only the style below applies.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// A page that explains mails one after another.
///
/// The page is kept in memory: about the size of the bodies it shows, and a kilobyte a mail.
#[derive(Default)]
pub struct Page {
    index: String,
    mails: String,
    count: usize,
}

impl Page {
    /// A page without mails.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a mail. `name` tells it from the others.
    pub fn add(&mut self, name: &str, text: &CleanText) {
        self.count += 1;
        let number = self.count;
        let tally = Tally::of(text);
        let (name, subject) = (escape(&one_line(name)), escape(&one_line(text.subject())));
        let subject = if subject.is_empty() {
            "(no subject)"
        } else {
            &subject
        };
        let cut = tally.percent(tally.bytes - tally.kept.bytes);
        let _ = writeln!(
            self.index,
            "<li><a href=\"#mail-{number}\"><bdi>{subject}</bdi></a> <span class=\"soft\"><bdi>{name}</bdi>, {cut} cut</span></li>"
        );
        let language = text.language().unwrap_or_default();
        let defects = match defects(text) {
            none if none.is_empty() => "none".to_owned(),
            some => escape(&some),
        };
        let _ = write!(
            self.mails,
            "<article id=\"mail-{number}\" aria-labelledby=\"subject-{number}\">\n<h2 id=\"subject-{number}\"><bdi>{subject}</bdi></h2>\n\
             <dl><dt>Mail</dt><dd><bdi>{name}</bdi></dd><dt>Language</dt><dd>{}</dd><dt>Defects</dt><dd>{defects}</dd></dl>\n",
            if language.is_empty() { "not told" } else { language },
        );
        bar(&mut self.mails, &tally);
        let lang = if language.is_empty() {
            String::new()
        } else {
            format!(" lang=\"{language}\"")
        };
        let _ = write!(self.mails, "<div class=\"mail\"{lang} dir=\"auto\">");
        body(&mut self.mails, text);
        self.mails.push_str("</div>\n");
        table(&mut self.mails, &tally);
        self.mails.push_str("</article>\n");
    }

    /// The whole page. `about` says in a line where the mails are from and how they were cleaned.
    pub fn finish(self, about: &str) -> String {
        let Self { index, mails, count } = self;
        let about = escape(&one_line(about));
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n\
             <meta name=\"format-detection\" content=\"telephone=no, date=no, address=no, email=no\">\n\
             <title>What was cut: {about}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <header>\n<h1>What was cut</h1>\n<p class=\"soft\">{about}</p>\n"
        );
        page.push_str(
            "<p>Each mail stands here whole. Plain text is kept. What is cut has a frame of its kind and the name of \
             the rule that cut it; the table below each mail says what the rule looks for.</p>\n<ul class=\"legend\">\n",
        );
        for kind in CutKind::ALL {
            let name = kind.name();
            let _ = writeln!(page, "<li class=\"{name}\"><b>{name}</b> {}</li>", meaning(kind));
        }
        page.push_str("</ul>\n</header>\n");
        if count > 1 {
            let _ = write!(
                page,
                "<nav aria-labelledby=\"mails\">\n<h2 id=\"mails\">{count} mails</h2>\n<ol>\n{index}</ol>\n</nav>\n"
            );
        }
        page.push_str("<main>\n");
        if count == 0 {
            page.push_str("<p>No mail was read.</p>\n");
        }
        page.push_str(&mails);
        page.push_str("</main>\n</body>\n</html>\n");
        page
    }
}

/// What a kind of cut is, for the legend.
fn meaning(kind: CutKind) -> &'static str {
    match kind {
        CutKind::Quoted => "an earlier mail that this one answers",
        CutKind::Forwarded => "a forwarded mail, or only its header where its text is kept",
        CutKind::Signature => "closing formula, name, contact data",
        CutKind::Disclaimer => "notices, company particulars, banners",
    }
}

/// The shares of what is kept and cut, as one bar.
fn bar(page: &mut String, tally: &Tally) {
    if tally.bytes == 0 {
        return;
    }
    let parts = std::iter::once(("kept", tally.kept.bytes))
        .chain(CutKind::ALL.map(|kind| (kind.name(), tally.bytes_of(kind))));
    let (mut told, mut drawn, mut start) = (Vec::new(), String::new(), 0);
    for (name, bytes) in parts.filter(|(_, bytes)| *bytes > 0) {
        let share = tally.percent(bytes);
        let _ = write!(
            drawn,
            "<rect class=\"{name}\" x=\"{:.2}%\" width=\"{:.2}%\" height=\"100%\"><title>{name} {share}</title></rect>",
            tally.percent(start).0,
            share.0
        );
        told.push(format!("{name} {share}"));
        start += bytes;
    }
    let told = told.join(", ");
    let _ = writeln!(
        page,
        "<svg class=\"bar\" role=\"img\" aria-label=\"{told}\">{drawn}</svg>"
    );
}

fn body(page: &mut String, text: &CleanText) {
    if text.body().is_empty() {
        page.push_str("<p class=\"soft\">The mail holds no text.</p>");
    }
    for block in blocks(text) {
        match block {
            Block::Cut { cut, text } => {
                let kind = cut.kind.name();
                let _ = write!(page, "<del class=\"{kind}\">");
                label(page, cut);
                words(page, text);
                page.push_str("</del>");
            }
            Block::Kept(spans) => kept(page, &spans),
        }
    }
}

/// Lines kept whole or in part. A run of cuts by one rule, as `>` marks are, has its rule named once.
fn kept(page: &mut String, spans: &[Span<'_>]) {
    page.push_str("<div class=\"kept\">");
    let mut labelled: Option<(CutKind, Rule)> = None;
    for span in spans {
        let Some(cut) = span.cut else {
            // A whole kept line ends the run: the cut after it is named again.
            if span.text.lines().skip(1).any(|line| !line.trim().is_empty()) {
                labelled = None;
            }
            words(page, span.text);
            continue;
        };
        let (kind, rule) = (cut.kind.name(), cut.rule);
        if labelled.replace((cut.kind, rule)) != Some((cut.kind, rule)) {
            label(page, cut);
        }
        let _ = write!(page, "<del class=\"part {kind}\" title=\"{kind}: {rule}\">");
        words(page, span.text);
        page.push_str("</del>");
    }
    page.push_str("</div>");
}

/// The name of the rule that cuts from here on; the sentence shows on hover and stands in the table.
fn label(page: &mut String, cut: &Cut) {
    let (kind, rule) = (cut.kind.name(), cut.rule);
    let _ = write!(
        page,
        "<b class=\"rule {kind}\" lang=\"en\" title=\"{}\">{kind}: {rule}</b>",
        escape(rule.description())
    );
}

fn table(page: &mut String, tally: &Tally) {
    page.push_str(
        "<div class=\"wide\" role=\"group\" aria-label=\"What became of the text\" tabindex=\"0\"><table>\n<caption>What became of the text</caption>\n<thead><tr><th scope=\"col\">kind</th>\
         <th scope=\"col\">rule</th><th scope=\"col\" class=\"number\">lines</th><th scope=\"col\" class=\"number\">bytes</th>\
         <th scope=\"col\" class=\"number\">share</th><th scope=\"col\">what the rule cuts</th></tr></thead>\n<tbody>\n",
    );
    row(page, None, tally.kept, tally);
    for (&cut, &amount) in &tally.cuts {
        row(page, Some(cut), amount, tally);
    }
    page.push_str("</tbody>\n</table></div>\n");
}

fn row(page: &mut String, cut: Option<(CutKind, Rule)>, amount: Amount, of: &Tally) {
    let Amount { lines, bytes } = amount;
    let (kind, rule, sentence) = match cut {
        None => ("kept", "", ""),
        Some((kind, rule)) => (kind.name(), rule.name(), rule.description()),
    };
    let _ = writeln!(
        page,
        "<tr><th scope=\"row\" class=\"{kind}\">{kind}</th><td>{rule}</td><td class=\"number\">{lines}</td>\
         <td class=\"number\">{bytes}</td><td class=\"number\">{}</td><td>{}</td></tr>",
        of.percent(bytes),
        escape(sentence)
    );
}

/// A mail's words, control characters as their code points.
fn words(page: &mut String, text: &str) {
    for piece in pieces(text) {
        match piece {
            Piece::Text(run) => page.push_str(&escape(run)),
            Piece::Controls(controls) => {
                let shown = escape(&controls.to_string());
                let _ = write!(page, "<span class=\"control\">{shown}</span>");
            }
        }
    }
}

/// Text as HTML text or a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The custom properties of a `:root` block.
    fn colours(block: &str) -> Vec<(&str, [f64; 3])> {
        let declarations = block
            .split(';')
            .filter_map(|part| part.split_once("--")?.1.split_once(':'));
        let parsed = declarations.filter_map(|(name, value)| {
            let hex = value.trim().strip_prefix('#')?;
            let channel = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
            let linear = |value: u8| match f64::from(value) / 255.0 {
                low if low <= 0.04045 => low / 12.92,
                high => ((high + 0.055) / 1.055).powf(2.4),
            };
            Some((name, [channel(0)?, channel(2)?, channel(4)?].map(linear)))
        });
        parsed.collect()
    }

    /// WCAG 2.2 contrast ratio, 1 to 21.
    fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
        let luminance = |[r, g, b]: [f64; 3]| 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
        let (one, other) = (luminance(one), luminance(other));
        one.max(other) / one.min(other)
    }

    #[test]
    fn text_has_contrast_in_light_and_dark() {
        let schemes: Vec<&str> = STYLE
            .split(":root {")
            .skip(1)
            .filter_map(|rest| rest.split('}').next())
            .collect();
        assert_eq!(schemes.len(), 2);
        for scheme in schemes {
            let colours = colours(scheme);
            let of = |name: &str| {
                let found = colours.iter().find(|(known, _)| *known == name);
                found.unwrap_or_else(|| panic!("no colour `{name}`")).1
            };
            let mut pairs = vec![
                ("ink".to_owned(), "paper".to_owned()),
                ("soft".to_owned(), "paper".to_owned()),
                ("link".to_owned(), "paper".to_owned()),
            ];
            for kind in CutKind::ALL.map(CutKind::name) {
                pairs.push(("ink".to_owned(), format!("{kind}-bed")));
                pairs.push((kind.to_owned(), format!("{kind}-bed")));
                pairs.push((kind.to_owned(), "paper".to_owned()));
            }
            for (text, bed) in pairs {
                let ratio = contrast(of(&text), of(&bed));
                assert!(ratio >= 4.5, "{text} on {bed}: {ratio:.2}");
            }
        }
    }
}
