//! What a client is told when a request cannot be answered (RFC 9457).

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Why a request is not answered. Each variant's `code` is stable; its text never holds mail text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No such route.
    #[error("there is nothing at this path")]
    NotFound,
    /// The route exists, the method does not.
    #[error("this path does not take that method")]
    Method,
    /// The request's media type is not one that is read.
    #[error("content type {found}, expected application/json, application/jsonlines or text/csv in UTF-8")]
    MediaType {
        /// The type as sent, or "none".
        found: String,
    },
    /// None of the accepted media types can be written.
    #[error("`Accept` allows none of application/json, application/jsonlines and text/csv")]
    NotAcceptable,
    /// The body is too large.
    #[error("the body is larger than {limit} bytes; send the mails in several requests")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive within {seconds} s")]
    ReadTimeout {
        /// The limit in seconds.
        seconds: u64,
    },
    /// The connection broke while the body was read.
    #[error("the body broke off")]
    Broken,
    /// The body is not UTF-8.
    #[error("the body is not UTF-8 at byte {offset}; other text goes into `raw`, as base64")]
    NotUtf8 {
        /// The first offending byte, from 0.
        offset: usize,
    },
    /// The body is not of its media type.
    #[error("malformed {format} at line {line}, column {column}")]
    Malformed {
        /// The format's name.
        format: &'static str,
        /// Line, from 1.
        line: usize,
        /// Column, from 1; 0 where a line as a whole is meant.
        column: usize,
    },
    /// The JSON is neither records nor lists.
    #[error("found {found}, expected a list of records, a record of lists or one record")]
    Shape {
        /// What was found.
        found: &'static str,
    },
    /// The columns of a record of lists, or the cells of a row, differ in number.
    #[error("`{field}` has {found} entries, expected {expected}")]
    Lengths {
        /// The column, or the row.
        field: String,
        /// Its length.
        found: usize,
        /// The length of the others.
        expected: usize,
    },
    /// A field has the wrong type or cannot be decoded.
    #[error("record {record}, field `{field}`: found {found}, expected {expected}")]
    Field {
        /// The record, from 0.
        record: usize,
        /// The field.
        field: &'static str,
        /// What was found.
        found: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// A record has no text field at all.
    #[error("record {record} has none of the fields `subject`, `body` and `raw`")]
    NoText {
        /// The record, from 0.
        record: usize,
    },
    /// Too much is waiting.
    #[error("too much mail is waiting; try again shortly")]
    Busy,
    /// The mails were not labelled in time.
    #[error("the mails were not labelled within {seconds} s; send fewer in one request")]
    Late {
        /// The limit in seconds.
        seconds: u64,
    },
    /// Nothing was deployed to this endpoint yet, or it was withdrawn.
    #[error("no model is deployed here; try again later")]
    NoModel,
    /// Our own fault.
    #[error("the server failed on this request; it lives on and has logged it")]
    Internal,
}

/// A problem on the wire.
#[derive(Serialize)]
struct Wire {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

impl Problem {
    /// The HTTP status and the stable code.
    pub fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::MediaType { .. } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::NotAcceptable => (StatusCode::NOT_ACCEPTABLE, "not_acceptable"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::ReadTimeout { .. } => (StatusCode::REQUEST_TIMEOUT, "read_timeout"),
            Self::Broken => (StatusCode::BAD_REQUEST, "broken_body"),
            Self::NotUtf8 { .. } => (StatusCode::BAD_REQUEST, "not_utf8"),
            Self::Malformed { .. } => (StatusCode::BAD_REQUEST, "malformed"),
            Self::Shape { .. } => (StatusCode::BAD_REQUEST, "unknown_shape"),
            Self::Lengths { .. } => (StatusCode::BAD_REQUEST, "unequal_lengths"),
            Self::Field { .. } => (StatusCode::BAD_REQUEST, "invalid_field"),
            Self::NoText { .. } => (StatusCode::BAD_REQUEST, "missing_text"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::NoModel => (StatusCode::SERVICE_UNAVAILABLE, "no_model"),
            Self::Late { .. } => (StatusCode::GATEWAY_TIMEOUT, "late"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    fn wire(&self) -> Wire {
        let (status, code) = self.kind();
        let (mut record, mut field, mut line, mut column) = (None, None, None, None);
        match self {
            Self::Field {
                record: at,
                field: name,
                ..
            } => {
                record = Some(*at);
                field = Some((*name).to_owned());
            }
            Self::NoText { record: at } => record = Some(*at),
            Self::Lengths { field: name, .. } => field = Some(name.clone()),
            Self::Malformed {
                line: at,
                column: within,
                ..
            } => {
                line = Some(*at);
                column = (*within > 0).then_some(*within);
            }
            _ => {}
        }
        let title = status.canonical_reason().unwrap_or("Error");
        let detail = self.to_string();
        Wire {
            r#type: "about:blank",
            title,
            status: status.as_u16(),
            code,
            detail,
            record,
            field,
            line,
            column,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // A struct of strings and numbers always serialises.
        let body = serde_json::to_vec(&self.wire()).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.kind().0;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self == Self::Busy {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // Rather than read on where the end of the request is unknown or far.
        if matches!(
            self,
            Self::TooLarge { .. } | Self::ReadTimeout { .. } | Self::Broken
        ) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
