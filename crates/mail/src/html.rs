//! HTML to the text a reader would see, and what its markup says about quotes.
//!
//! Mail programs tell in markup what plain text leaves to guessing: `blockquote type=cite`,
//! Gmail's `gmail_quote`, Outlook's `divRplyFwdMsg`. Those become [`Mark`]s over the text, and
//! the rules weigh them as evidence beside the words.
//!
//! Only html5ever's tokenizer is used, not its tree: a tree is quadratic in nesting depth,
//! and a mail may be hostile. A stack of open elements is all that visibility and marks need.

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use std::borrow::Cow;
use std::cell::RefCell;

/// What markup says about a stretch of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// A quoted earlier mail; nested quotes nest.
    Quote,
    /// A blockquote that nothing tells from indented text; becomes a quote where it stands like one.
    Indent,
    /// A line that introduces a quote, as Gmail and Thunderbird mark it.
    Attribution,
    /// From here to the end stands an earlier mail (Outlook's divider); the span is the divider's own.
    History,
    /// A signature the mail program inserted.
    Signature,
}

/// A byte span of the text and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) evidence: Evidence,
}

/// Elements open at once; deeper ones are read but not tracked.
const DEPTH: usize = 2048;
/// How far up an end tag looks for its start tag.
const REACH: usize = 128;
/// Attributes of one tag; the tokenizer compares each with all before it.
const ATTRIBUTES: usize = 512;

/// Renders `html` as text with its marks, in order of their start.
pub(crate) fn render(html: &str) -> (String, Vec<Mark>) {
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(&defuse(html)));
    let tokenizer = Tokenizer::new(Sink(RefCell::new(Page::default())), TokenizerOpts::default());
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    tokenizer.sink.0.into_inner().finish()
}

struct Sink(RefCell<Page>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut page = self.0.borrow_mut();
        match token {
            Token::CharacterTokens(text) => page.text(&text),
            Token::TagToken(tag) if tag.kind == TagKind::EndTag => page.close(&tag.name),
            Token::TagToken(tag) => {
                page.open(&tag);
                match &*tag.name {
                    "style" | "xmp" | "iframe" | "noembed" | "noframes" if !tag.self_closing => {
                        return TokenSinkResult::RawData(RawKind::Rawtext);
                    }
                    "script" if !tag.self_closing => return TokenSinkResult::RawData(RawKind::ScriptData),
                    "title" | "textarea" if !tag.self_closing => {
                        return TokenSinkResult::RawData(RawKind::Rcdata);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

struct Open {
    name: Box<str>,
    hidden: bool,
    pre: bool,
    mark: Option<usize>,
}

#[derive(Default)]
struct Page {
    text: String,
    marks: Vec<Mark>,
    stack: Vec<Open>,
    hidden: usize,
    pre: usize,
    breaks: usize,
    space: bool,
}

impl Page {
    fn text(&mut self, text: &str) {
        if self.hidden > 0 {
            return;
        }
        if self.pre > 0 {
            for character in text.chars() {
                match character {
                    '\r' => {}
                    '\n' => self.line_break(self.breaks + 1),
                    _ => self.push(character),
                }
            }
            return;
        }
        for character in text.chars() {
            match character {
                ' ' | '\t' | '\n' | '\r' | '\u{c}' | '\u{a0}' => self.space = true,
                // Invisible padding of newsletter previews.
                '\u{200b}' | '\u{200c}' | '\u{feff}' | '\u{34f}' | '\u{ad}' | '\0' => {}
                _ => self.push(character),
            }
        }
    }

    fn push(&mut self, character: char) {
        if self.breaks > 0 {
            if !self.text.is_empty() {
                self.text.extend(std::iter::repeat_n('\n', self.breaks.min(3)));
            }
            self.breaks = 0;
        } else if self.space && !self.text.is_empty() {
            self.text.push(' ');
        }
        self.space = false;
        self.text.push(character);
    }

    fn line_break(&mut self, least: usize) {
        self.breaks = self.breaks.max(least);
        self.space = false;
    }

    fn open(&mut self, tag: &Tag) {
        let name = &*tag.name;
        match name {
            "br" => {
                let more = self.breaks + 1;
                return self.line_break(more);
            }
            "hr" => return self.line_break(1),
            "img" | "input" | "meta" | "link" | "base" | "col" | "area" | "embed" | "source" | "wbr"
            | "param" | "track" | "frame" | "basefont" | "bgsound" => return,
            "body" | "html" => return,
            _ => {}
        }
        let block = block(name);
        if block > 0 && self.stack.last().is_some_and(|open| &*open.name == "p") {
            if self.hidden == 0 {
                self.line_break(2);
            }
            self.pop();
        }
        if matches!(name, "td" | "th" | "tr" | "li" | "option" | "dt" | "dd") {
            let closes: &[&str] = match name {
                "tr" => &["td", "th", "tr"],
                "td" | "th" => &["td", "th"],
                "dt" | "dd" => &["dt", "dd"],
                _ => std::slice::from_ref(&name),
            };
            while self
                .stack
                .last()
                .is_some_and(|open| closes.contains(&&*open.name))
            {
                self.pop();
            }
        }
        if block > 0 && self.hidden == 0 {
            self.line_break(block);
        }
        if matches!(name, "td" | "th") {
            self.space = true;
        }
        if self.stack.len() >= DEPTH || (tag.self_closing && name.contains(':')) {
            return;
        }
        let hidden = hides(name, tag);
        let pre = matches!(name, "pre" | "listing");
        let mark = Self::evidence(name, tag).map(|evidence| {
            self.line_break(1);
            self.marks.push(Mark {
                start: self.text.len(),
                end: usize::MAX,
                evidence,
            });
            self.marks.len() - 1
        });
        self.hidden += usize::from(hidden);
        self.pre += usize::from(pre);
        self.stack.push(Open {
            name: name.into(),
            hidden,
            pre,
            mark,
        });
    }

    fn close(&mut self, name: &str) {
        let block = block(name);
        if block > 0 && self.hidden == 0 {
            self.line_break(block);
        }
        if name == "br" {
            return self.line_break(1);
        }
        // A cell's end does not reach out of its own table.
        let found = self
            .stack
            .iter()
            .rev()
            .take(REACH)
            .position(|open| &*open.name == name);
        if let Some(above) = found {
            for _ in 0..=above {
                self.pop();
            }
        }
    }

    fn pop(&mut self) {
        let Some(open) = self.stack.pop() else { return };
        self.hidden -= usize::from(open.hidden);
        self.pre -= usize::from(open.pre);
        if let Some(index) = open.mark {
            self.line_break(1);
            self.marks[index].end = self.text.len();
        }
    }

    fn evidence(name: &str, tag: &Tag) -> Option<Evidence> {
        let class = attribute(tag, "class").unwrap_or_default();
        let id = attribute(tag, "id").unwrap_or_default();
        let has = |word: &str| class.split_ascii_whitespace().any(|class| class == word);
        if name == "blockquote" {
            // Indented own text is a blockquote too, but one that editors give no border.
            let indent = attribute(tag, "style").is_some_and(|style| {
                style.replace(' ', "").contains("border:none") && !class.contains("quote")
            });
            let cited = attribute(tag, "type").is_some_and(|kind| kind.eq_ignore_ascii_case("cite"))
                || attribute(tag, "cite").is_some()
                || class.contains("quote")
                || class.contains("cite");
            return (cited || !indent).then_some(if cited { Evidence::Quote } else { Evidence::Indent });
        }
        if has("gmail_attr") || has("moz-cite-prefix") || has("moz-forward-container-header") {
            return Some(Evidence::Attribution);
        }
        if has("yahoo_quoted") || has("protonmail_quote") || has("tutanota_quote") {
            return Some(Evidence::Quote);
        }
        if id.ends_with("divRplyFwdMsg")
            || id.ends_with("appendonsend")
            || id == "mail-editor-reference-message-container"
            || has("OutlookMessageHeader")
            || has("ms-outlook-mobile-reference-message")
            || id == "reply-intro"
            || has("zmail_extra")
            || has("quotedMailContainer")
        {
            return Some(Evidence::History);
        }
        // Outlook's rule above the header block of the mail answered: a line of one point on top.
        if name == "div"
            && attribute(tag, "style").is_some_and(|style| {
                let style: String = style
                    .chars()
                    .filter(|character| !character.is_whitespace())
                    .collect::<String>()
                    .to_lowercase();
                style.contains("border:none;border-top:solid#") && style.contains("padding:3.0pt0")
            })
        {
            return Some(Evidence::History);
        }
        if has("gmail_signature")
            || has("moz-signature")
            || has("protonmail_signature_block")
            || id == "Signature"
            || id == "signature"
            || has("email-signature")
            || id.eq_ignore_ascii_case("ms-outlook-mobile-signature")
            || id == "AppleMailSignature"
        {
            return Some(Evidence::Signature);
        }
        None
    }

    fn finish(mut self) -> (String, Vec<Mark>) {
        while !self.stack.is_empty() {
            self.pop();
        }
        // An indented block is a quote behind an introduction, inside a quote, and at the mail's end,
        // where only quotes follow it. "See my answers:" introduces nothing, a date or an address does.
        let text = &self.text;
        let mut end = text.trim_end().len();
        for mark in self.marks.iter_mut().rev() {
            let last = mark.end >= end;
            if mark.evidence == Evidence::Indent && last {
                mark.evidence = Evidence::Quote;
            }
            if mark.evidence == Evidence::Quote && last {
                end = text[..mark.start].trim_end().len();
            }
        }
        let mut until = 0;
        self.marks.retain_mut(|mark| {
            if mark.evidence == Evidence::Indent {
                let line = text[..mark.start]
                    .trim_end()
                    .lines()
                    .next_back()
                    .unwrap_or_default();
                let introduced =
                    line.ends_with([':', '：']) && line.contains(|c: char| c == '@' || c.is_ascii_digit());
                if mark.start < until || introduced {
                    mark.evidence = Evidence::Quote;
                }
            }
            if mark.evidence == Evidence::Quote {
                until = until.max(mark.end);
            }
            mark.evidence != Evidence::Indent
        });
        (self.text, self.marks)
    }
}

fn attribute<'a>(tag: &'a Tag, name: &str) -> Option<&'a str> {
    tag.attrs
        .iter()
        .find(|attribute| &*attribute.name.local == name)
        .map(|attribute| &*attribute.value)
}

/// Line breaks around an element: 2 for paragraphs, 1 for other blocks, 0 for inline ones.
fn block(name: &str) -> usize {
    match name {
        "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "ul" | "ol" | "dl" | "blockquote" | "pre" => 2,
        "div" | "li" | "tr" | "table" | "section" | "article" | "header" | "footer" | "main" | "nav"
        | "aside" | "address" | "center" | "dt" | "dd" | "fieldset" | "form" | "figure" | "figcaption"
        | "caption" | "tbody" | "thead" | "tfoot" | "listing" | "details" | "summary" | "legend"
        | "option" => 1,
        _ => 0,
    }
}

/// True when a reader does not see the element's content.
fn hides(name: &str, tag: &Tag) -> bool {
    if matches!(
        name,
        "head"
            | "style"
            | "script"
            | "title"
            | "template"
            | "noscript"
            | "object"
            | "svg"
            | "math"
            | "iframe"
            | "noembed"
            | "noframes"
            | "xml"
            | "select"
            | "audio"
            | "video"
            | "applet"
            | "textarea"
    ) || attribute(tag, "hidden").is_some()
    {
        return true;
    }
    let Some(style) = attribute(tag, "style") else {
        return false;
    };
    let style: String = style
        .chars()
        .filter(|character| !character.is_whitespace())
        .take(4096)
        .collect::<String>()
        .to_lowercase();
    style.split(';').any(|rule| {
        let rule = rule.strip_suffix("!important").unwrap_or(rule);
        matches!(
            rule,
            "display:none"
                | "visibility:hidden"
                | "mso-hide:all"
                | "font-size:0"
                | "font-size:0px"
                | "max-height:0"
                | "max-height:0px"
                | "opacity:0"
        )
    })
}

/// Cuts tags short that carry more attributes than any real one, keeping tokenizing linear.
fn defuse(html: &str) -> Cow<'_, str> {
    let bytes = html.as_bytes();
    let mut kept: Option<String> = None;
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'<'
            || !bytes
                .get(at + 1)
                .is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'/')
        {
            at += 1;
            continue;
        }
        at += 1;
        let (mut count, mut quote, mut before, mut between) = (0usize, None, b' ', false);
        while at < bytes.len() {
            let byte = bytes[at];
            if let Some(mark) = quote {
                if byte == mark {
                    quote = None;
                    between = true;
                }
            } else if byte == b'>' {
                break;
            } else if matches!(byte, b'"' | b'\'') && before == b'=' {
                quote = Some(byte);
            } else if byte.is_ascii_whitespace() || byte == b'/' {
                between = true;
            } else if std::mem::take(&mut between) && byte != b'=' {
                count += 1;
                if count > ATTRIBUTES {
                    kept.get_or_insert_default().push_str(&html[copied..at]);
                    while at < bytes.len() && !matches!(bytes[at], b'<' | b'>') {
                        at += 1;
                    }
                    copied = at;
                    break;
                }
            }
            if !byte.is_ascii_whitespace() {
                before = byte;
            }
            at += 1;
        }
    }
    match kept {
        Some(mut kept) => {
            kept.push_str(&html[copied..]);
            Cow::Owned(kept)
        }
        None => Cow::Borrowed(html),
    }
}

/// True when a dataset's body is HTML and not text that merely mentions a tag.
pub(crate) fn looks_like(body: &str) -> bool {
    let start = body.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let head: String = start.chars().take(15).collect::<String>().to_ascii_lowercase();
    if head.starts_with("<!doctype html") || head.starts_with("<html") {
        return true;
    }
    let mut tags = 0;
    for (at, _) in body.match_indices('<').take(4000) {
        let rest = &body.as_bytes()[at + 1..];
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        let length = rest
            .iter()
            .take(11)
            .take_while(|byte| byte.is_ascii_alphanumeric())
            .count();
        let name = rest[..length].to_ascii_lowercase();
        let ends = matches!(rest.get(length), Some(b'>' | b' ' | b'/' | b'\n' | b'\r' | b'\t'));
        let known = matches!(
            name.as_slice(),
            b"p" | b"br"
                | b"div"
                | b"span"
                | b"table"
                | b"tbody"
                | b"tr"
                | b"td"
                | b"ul"
                | b"ol"
                | b"li"
                | b"html"
                | b"head"
                | b"body"
                | b"font"
                | b"blockquote"
                | b"style"
                | b"a"
                | b"b"
                | b"strong"
                | b"em"
                | b"img"
        );
        tags += usize::from(ends && known);
        if tags >= 2 {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str) -> String {
        render(html).0
    }

    #[test]
    fn shows_what_a_reader_sees() {
        let html = "<html><head><title>x</title><style>p{}</style></head><body><p>Guten&nbsp;Tag,</p>\n\
            <p>Zeile 1<br>Zeile 2</p><ul><li>eins<li>zwei</ul><!-- nein --><script>no()</script>\
            <div style='DISPLAY: none !important'>versteckt<div>tief</div></div><img src=t.gif alt=Z>\
            <table><tr><td>a</td><td>b</td></tr><tr><td>c<td>d</table>Ende &amp; &uuml;</body></html>";
        assert_eq!(
            text(html),
            "Guten Tag,\n\nZeile 1\nZeile 2\n\neins\nzwei\n\na b\nc d\nEnde & ü"
        );
    }

    #[test]
    fn marks_quotes_by_their_markup() {
        let (text, marks) = render(
            "<div>neu</div><div class=\"moz-cite-prefix\">Am 1. schrieb X:</div>\
             <blockquote type=cite>alt<blockquote>älter</blockquote></blockquote>",
        );
        let spans: Vec<_> = marks
            .iter()
            .map(|mark| (mark.evidence, text[mark.start..mark.end].trim()))
            .collect();
        assert_eq!(
            spans,
            [
                (Evidence::Attribution, "Am 1. schrieb X:"),
                (Evidence::Quote, "alt\n\nälter"),
                (Evidence::Quote, "älter")
            ]
        );
    }

    #[test]
    fn indented_text_is_a_quote_at_the_end_only() {
        let quotes = |html: &str| {
            let (text, marks) = render(html);
            marks
                .iter()
                .map(|mark| text[mark.start..mark.end].trim().to_owned())
                .collect::<Vec<_>>()
        };
        let indent = |text: &str| format!("<blockquote>{text}</blockquote>");
        let (a, b) = (&indent("a"), &indent("b"));
        assert_eq!(quotes(&format!("{a}neu{b}")), ["b"]);
        assert_eq!(quotes(&format!("neu{a}<div></div>{b}")), ["a", "b"]);
        assert_eq!(quotes(&format!("Siehe unten:{a}neu")), [""; 0]);
        assert_eq!(quotes(&format!("Am 3.5. schrieb Eva:{a}neu")), ["a"]);
    }

    #[test]
    fn survives_broken_markup() {
        assert_eq!(text("a < b und <b>fett"), "a < b und fett");
        assert_eq!(text(&"<div>".repeat(20_000)), "");
        assert_eq!(text(&format!("<a {}>x", "b c=d ".repeat(20_000))), "x");
        assert_eq!(text("<p style=display:none>weg<p>da"), "da");
    }

    #[test]
    fn html_needs_more_than_a_mention() {
        assert!(looks_like("<!DOCTYPE html><p>x"));
        assert!(looks_like("Hallo,<br/>wie<br/>geht"));
        assert!(!looks_like("Max <max@example.de> schrieb: 3 < 4 > 2 <br>"));
        assert!(!looks_like("Hallo Welt"));
    }
}
