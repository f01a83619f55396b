//! A mail's content as plain text and as HTML, in the manner of its program.

use crate::phrase::Language;
use crate::program::Program;
use crate::quote::{self, Quote};

/// Everything a mail shows below its headers.
#[derive(Debug)]
pub(crate) struct Content {
    pub language: Language,
    /// Salutation, paragraphs and farewell; an empty line between blocks.
    pub own: Vec<String>,
    pub signature: Vec<String>,
    pub quote: Option<Quote>,
    /// The quote is passed on, not answered.
    pub forwards: bool,
    /// The answer stands below the quote.
    pub below: bool,
}

impl Content {
    /// The plain text, lines as long as they come.
    pub fn plain(&self, program: Program) -> Vec<String> {
        let mut lines = self.own.clone();
        if !self.signature.is_empty() {
            lines.push(if program == Program::Thunderbird {
                "-- ".into()
            } else {
                String::new()
            });
            lines.extend(self.signature.iter().cloned());
        }
        let Some(quote) = &self.quote else { return lines };
        let quoted = self.quoted(quote, program, self.forwards);
        if self.below {
            return [quoted, vec![String::new()], lines].concat();
        }
        lines.push(String::new());
        if program == Program::Outlook && !self.forwards {
            lines.push(String::new());
        }
        lines.extend(quoted);
        lines
    }

    fn quoted(&self, quote: &Quote, program: Program, forwards: bool) -> Vec<String> {
        let mut lines = if forwards {
            quote::forward_introduction(quote, program, self.language)
        } else {
            quote::introduction(quote, program, self.language)
        };
        let bare = forwards || matches!(program, Program::Outlook | Program::Office | Program::Web);
        if bare {
            lines.push(String::new());
        }
        let mut inside = quote.lines.clone();
        if let Some(inner) = &quote.inner {
            inside.push(String::new());
            inside.extend(self.quoted(inner, program, false));
        }
        if bare {
            lines.extend(inside);
        } else {
            if program != Program::Thunderbird {
                lines.push(String::new());
            }
            lines.extend(inside.iter().map(|line| match line.chars().next() {
                None => ">".to_owned(),
                Some('>') => format!(">{line}"),
                Some(_) => format!("> {line}"),
            }));
        }
        lines
    }

    /// An HTML document.
    pub fn html(&self, program: Program) -> String {
        let mut body = String::new();
        match program {
            Program::Outlook => self.outlook(&mut body),
            Program::Office => self.office(&mut body),
            _ => self.blocks(program, &mut body),
        }
        let head = match program {
            Program::Outlook => OUTLOOK_HEAD,
            Program::Office => OFFICE_HEAD,
            Program::Apple | Program::Phone => {
                "<head><meta http-equiv=\"content-type\" content=\"text/html; charset=utf-8\"></head>"
            }
            _ => return body,
        };
        format!(
            "<html>{head}<body{}>\n{body}</body></html>\n",
            if program == Program::Outlook {
                " lang=\"DE\" link=\"#0563C1\""
            } else {
                ""
            }
        )
    }

    /// Paragraphs of class MsoNormal; earlier mails below a ruled header block.
    fn outlook(&self, out: &mut String) {
        out.push_str("<div class=\"WordSection1\">\n");
        paragraphs(&self.own, "MsoNormal", out);
        if !self.signature.is_empty() {
            out.push_str("<p class=\"MsoNormal\"><o:p>&nbsp;</o:p></p>\n");
            for line in &self.signature {
                let text = if line.is_empty() {
                    "&nbsp;".into()
                } else {
                    escaped(line)
                };
                out.push_str(&format!(
                    "<p class=\"MsoNormal\"><span style=\"font-size:9.0pt;color:#7F7F7F\">{text}<o:p></o:p></span></p>\n"
                ));
            }
        }
        let mut quote = self.quote.as_ref();
        while let Some(earlier) = quote {
            out.push_str("<div style=\"border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm\">\n<p class=\"MsoNormal\">");
            let head = quote::introduction(earlier, Program::Outlook, self.language);
            let rows: Vec<String> = head
                .iter()
                .map(|line| match line.split_once(": ") {
                    Some((key, value)) => format!("<b>{key}:</b> {}", escaped(value)),
                    None => escaped(line),
                })
                .collect();
            out.push_str(&rows.join("<br>\n"));
            out.push_str("<o:p></o:p></p>\n</div>\n");
            paragraphs(&earlier.lines, "MsoNormal", out);
            quote = earlier.inner.as_deref();
        }
        out.push_str("</div>\n");
    }

    /// A table with a coloured bar, as customer management programs send it.
    fn office(&self, out: &mut String) {
        out.push_str("<table width=\"640\" cellpadding=\"0\"><tr><td class=\"content\">\n");
        paragraphs(&self.own, "text", out);
        out.push_str("</td></tr>\n<tr><td class=\"footer\">");
        out.push_str(
            &self
                .signature
                .iter()
                .map(|line| escaped(line))
                .collect::<Vec<_>>()
                .join("<br>"),
        );
        out.push_str("</td></tr></table>\n");
        if let Some(quote) = &self.quote {
            out.push_str("<hr>\n<div class=\"history\">");
            let lines = self.quoted(quote, Program::Office, self.forwards);
            out.push_str(
                &lines
                    .iter()
                    .map(|line| escaped(line))
                    .collect::<Vec<_>>()
                    .join("<br>\n"),
            );
            out.push_str("</div>\n");
        }
    }

    /// Lines in divs, earlier mails in a blockquote.
    fn blocks(&self, program: Program, out: &mut String) {
        let wrap = if program == Program::Gmail {
            "<div dir=\"ltr\">"
        } else {
            "<div>"
        };
        out.push_str(wrap);
        for line in &self.own {
            out.push_str(&format!(
                "<div>{}</div>\n",
                if line.is_empty() {
                    "<br>".into()
                } else {
                    escaped(line)
                }
            ));
        }
        out.push_str("</div>\n");
        if !self.signature.is_empty() {
            let class = if program == Program::Gmail {
                " class=\"gmail_signature\""
            } else {
                ""
            };
            let lines: Vec<String> = self.signature.iter().map(|line| escaped(line)).collect();
            out.push_str(&format!("<br>\n<div{class}>{}</div>\n", lines.join("<br>")));
        }
        if let Some(quote) = &self.quote {
            out.push_str("<br>");
            self.blockquote(quote, program, self.forwards, out);
        }
    }

    fn blockquote(&self, quote: &Quote, program: Program, forwards: bool, out: &mut String) {
        let head = if forwards {
            quote::forward_introduction(quote, program, self.language)
        } else {
            quote::introduction(quote, program, self.language)
        };
        let head = head
            .iter()
            .map(|line| escaped(line))
            .collect::<Vec<_>>()
            .join("<br>\n");
        let (open, close) = match program {
            Program::Gmail => (
                "<blockquote class=\"gmail_quote\" style=\"margin:0px 0px 0px 0.8ex;border-left:1px solid rgb(204,204,204);padding-left:1ex\">",
                "</blockquote></div>",
            ),
            _ => ("<blockquote type=\"cite\">", "</blockquote></div>"),
        };
        let class = if program == Program::Gmail {
            " class=\"gmail_quote\""
        } else {
            ""
        };
        let attr = if program == Program::Gmail {
            " dir=\"ltr\" class=\"gmail_attr\""
        } else {
            ""
        };
        out.push_str(&format!("<div{class}><div{attr}>{head}<br></div>\n{open}\n"));
        for line in &quote.lines {
            out.push_str(&format!(
                "<div>{}</div>\n",
                if line.is_empty() {
                    "<br>".into()
                } else {
                    escaped(line)
                }
            ));
        }
        if let Some(inner) = &quote.inner {
            self.blockquote(inner, program, false, out);
        }
        out.push_str(close);
        out.push('\n');
    }
}

const OUTLOOK_HEAD: &str = r#"<head><meta http-equiv="Content-Type" content="text/html; charset=CHARSET"><meta name="Generator" content="Microsoft Word 15 (filtered medium)"><style><!--
/* Font Definitions */
@font-face {font-family:Calibri; panose-1:2 15 5 2 2 2 4 3 2 4;}
/* Style Definitions */
p.MsoNormal, li.MsoNormal, div.MsoNormal {margin:0cm; font-size:11.0pt; font-family:"Calibri",sans-serif; mso-fareast-language:EN-US;}
a:link, span.MsoHyperlink {mso-style-priority:99; color:#0563C1; text-decoration:underline;}
@page WordSection1 {size:612.0pt 792.0pt; margin:70.85pt 70.85pt 2.0cm 70.85pt;}
div.WordSection1 {page:WordSection1;}
--></style><!--[if gte mso 9]><xml><o:shapedefaults v:ext="edit" spidmax="1026" /></xml><![endif]--></head>"#;

const OFFICE_HEAD: &str = r#"<head><title>Nachricht</title><style type="text/css">body{font-family:Verdana,Arial;font-size:12px} td.content{padding:12px;border-left:4px solid #0a5c7a} td.footer{color:#888;font-size:10px} div.history{color:#444}</style></head>"#;

fn paragraphs(lines: &[String], class: &str, out: &mut String) {
    for line in lines {
        let text = if line.is_empty() {
            "&nbsp;".to_owned()
        } else {
            escaped(line)
        };
        let end = if class == "MsoNormal" { "<o:p></o:p>" } else { "" };
        out.push_str(&format!("<p class=\"{class}\">{text}{end}</p>\n"));
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
