//! Media types: what a body is, and what the client wants back.

use crate::Problem;
use axum::http::{HeaderMap, header};

/// The formats mails come in and answers go out in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    JsonLines,
    Csv,
}

/// What `Content-Type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    pub format: Format,
    /// `text/csv; header=absent` (RFC 4180).
    pub headless: bool,
}

/// What `Accept` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub format: Format,
    /// `application/json; shape=columns`: a record of lists instead of a list of records.
    pub columns: bool,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::JsonLines => "JSON Lines",
            Self::Csv => "CSV",
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::JsonLines => "application/jsonlines",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }

    fn of(essence: &str) -> Option<Self> {
        match essence {
            "application/json" | "text/json" => Some(Self::Json),
            "application/jsonlines"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "application/x-ndjson" => Some(Self::JsonLines),
            "text/csv" | "application/csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// Splits `type/subtype; name=value` into the lower-case essence and parameters; values keep their case.
fn parts(value: &str) -> (String, Vec<(String, String)>) {
    let mut pieces = value.split(';');
    let essence = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
    let parameters = pieces
        .filter_map(|piece| piece.split_once('='))
        .map(|(name, value)| {
            (
                name.trim().to_ascii_lowercase(),
                value.trim().trim_matches('"').to_owned(),
            )
        })
        .collect();
    (essence, parameters)
}

/// The format of a request's body.
pub(crate) fn content(headers: &HeaderMap) -> Result<Content, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Err(Problem::MediaType { found: "none".into() });
    };
    let value = value.to_str().unwrap_or_default();
    let (essence, parameters) = parts(value);
    let refuse = || Problem::MediaType {
        found: format!("`{}`", value.chars().take(100).collect::<String>()),
    };
    let format = Format::of(&essence).ok_or_else(refuse)?;
    let parameter = |wanted: &str| {
        parameters
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    };
    let utf8 = ["utf-8", "utf8", "us-ascii", "ascii"];
    if parameter("charset")
        .is_some_and(|charset| !utf8.iter().any(|known| charset.eq_ignore_ascii_case(known)))
    {
        return Err(refuse());
    }
    let headless = parameter("header").is_some_and(|header| header.eq_ignore_ascii_case("absent"));
    Ok(Content { format, headless })
}

/// The format a client wants back: the one of highest quality, ours in order on a tie; the usual one when it does not say.
pub(crate) fn accepted(headers: &HeaderMap, usual: Format) -> Result<Wanted, Problem> {
    let mut ranges = Vec::new();
    let mut columns = false;
    for value in headers.get_all(header::ACCEPT) {
        for range in value
            .to_str()
            .unwrap_or_default()
            .split(',')
            .filter(|range| !range.trim().is_empty())
        {
            let (essence, parameters) = parts(range);
            let quality = parameters
                .iter()
                .find(|(name, _)| name == "q")
                .map_or(1.0, |(_, value)| value.parse::<f32>().unwrap_or(0.0));
            columns |= Format::of(&essence) == Some(Format::Json)
                && parameters
                    .iter()
                    .any(|(name, value)| name == "shape" && value.eq_ignore_ascii_case("columns"));
            ranges.push((essence, quality));
        }
    }
    let wanted = |format| Wanted {
        format,
        columns: columns && format == Format::Json,
    };
    if ranges.is_empty() {
        return Ok(wanted(usual));
    }
    // The most specific range that covers a format decides its quality (RFC 9110, 12.5.1).
    let quality = |format: Format| {
        let specificity = |essence: &str| match essence {
            "*/*" => Some(0),
            "application/*" if format != Format::Csv => Some(1),
            "text/*" if format == Format::Csv => Some(1),
            essence => (Format::of(essence) == Some(format)).then_some(2),
        };
        let covering = ranges
            .iter()
            .filter_map(|(essence, quality)| Some((specificity(essence)?, *quality)));
        covering
            .max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))
            .map_or(0.0, |(_, quality)| quality)
    };
    [Format::Json, Format::JsonLines, Format::Csv]
        .into_iter()
        .map(|format| (format, quality(format)))
        .filter(|(_, quality)| *quality > 0.0)
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .map(|(format, _)| wanted(format))
        .ok_or(Problem::NotAcceptable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    fn accept(value: &str) -> Result<Format, Problem> {
        accepted(&headers(header::ACCEPT, value), Format::Json).map(|wanted| wanted.format)
    }

    #[test]
    fn reads_content_types_with_parameters() {
        let content = |value: &str| super::content(&headers(header::CONTENT_TYPE, value));
        assert_eq!(
            content("Application/JSON; charset=UTF-8").unwrap().format,
            Format::Json
        );
        assert_eq!(content("application/x-ndjson").unwrap().format, Format::JsonLines);
        let csv = Content {
            format: Format::Csv,
            headless: true,
        };
        assert_eq!(content("text/csv; header=absent; charset=\"utf-8\""), Ok(csv));
        for refused in [
            "text/plain",
            "application/json; charset=latin1",
            "",
            "application/x-parquet",
        ] {
            assert!(content(refused).is_err(), "{refused}");
        }
        assert_eq!(
            super::content(&HeaderMap::new()),
            Err(Problem::MediaType { found: "none".into() })
        );
    }

    #[test]
    fn answers_in_the_format_the_client_prefers() {
        let json = |columns| {
            Ok(Wanted {
                format: Format::Json,
                columns,
            })
        };
        assert_eq!(accepted(&HeaderMap::new(), Format::Json), json(false));
        let columns = headers(header::ACCEPT, "application/json; shape=columns, */*;q=0.1");
        assert_eq!(accepted(&columns, Format::Json), json(true));
        assert_eq!(accept("*/*"), Ok(Format::Json));
        assert_eq!(accept("text/html, text/*;q=0.5"), Ok(Format::Csv));
        assert_eq!(
            accept("application/json;q=0.2, application/jsonlines"),
            Ok(Format::JsonLines)
        );
        assert_eq!(accept("*/*, application/json;q=0"), Ok(Format::JsonLines));
        assert_eq!(accept("text/html"), Err(Problem::NotAcceptable));
        assert_eq!(accept("application/json;q=0"), Err(Problem::NotAcceptable));
    }
}
