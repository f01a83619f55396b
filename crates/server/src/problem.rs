//! What a client is told when a request cannot be answered (RFC 9457).

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

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
    /// The body is compressed.
    #[error("the body is encoded (`Content-Encoding`), expected it as it is")]
    Encoding,
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
    /// The custom attributes cannot be read.
    #[error("`X-Amzn-SageMaker-Custom-Attributes`: {reason}")]
    Attributes {
        /// What is wrong.
        reason: &'static str,
    },
    /// A body does not have the documented shape.
    #[error("the body does not have the documented shape at `{path}` (line {line}, column {column})")]
    Document {
        /// Where in the document, as in `mails[3].subject`.
        path: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A parameter of the path, the query or a header is wrong.
    #[error("`{name}` is wrong, expected {expected}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// More mails than a request may hold.
    #[error("the request holds {found} mails, expected at most {most}; send them in several requests")]
    TooMany {
        /// How many.
        found: usize,
        /// The limit.
        most: usize,
    },
    /// A model that is not here.
    #[error("there is no model of this name here")]
    UnknownModel,
    /// A model that is here already.
    #[error("a model of this name is loaded already")]
    ModelLoaded,
    /// No more models fit.
    #[error("{most} models are loaded, no more fit; unload one first")]
    ModelsFull {
        /// The limit.
        most: usize,
    },
    /// A model's directory is none, or lies outside the folder of models.
    #[error("there is no model that can be opened below this server's folder of models: {reason}")]
    ModelUrl {
        /// Why.
        reason: String,
    },
    /// Nobody known asks.
    #[error("no valid key or token: {reason}")]
    Unauthorized {
        /// What is wrong with it, without it.
        reason: &'static str,
    },
    /// Somebody asks for what their key is not for.
    #[error("this key or token lacks the permission `{missing}`")]
    Forbidden {
        /// The permission.
        missing: &'static str,
    },
    /// Somebody asks too often.
    #[error("more requests than this client may send; try again in {retry_s} s")]
    RateLimited {
        /// Seconds until the next one is let in.
        retry_s: u64,
    },
    /// A request with the same idempotency key is being answered.
    #[error("a request with this idempotency key is being answered")]
    UnderWay,
    /// A request with the same idempotency key had another body.
    #[error("this idempotency key was used with another request")]
    KeyReused,
    /// Feedback names a task the schema does not have.
    #[error("there is no task `{found}`, expected {expected}")]
    UnknownTask {
        /// The task as sent, shortened.
        found: String,
        /// The tasks there are.
        expected: String,
    },
    /// What is asked for is not kept, or not for this client.
    #[error("there is no such prediction for this client")]
    UnknownPrediction,
    /// The store is away.
    #[error("the store does not answer; try again shortly")]
    StoreAway,
    /// Too much is waiting.
    #[error("too much mail is waiting; try again in {retry_s} s")]
    Busy {
        /// Seconds until it may be different.
        retry_s: u64,
    },
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

/// Why a request is not answered (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument {
    /// `about:blank`: `code` tells problems apart.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// The problem, for programs; it never changes.
    code: &'static str,
    /// The problem, for people. It holds no text of a mail.
    detail: String,
    /// The record it is about, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<usize>,
    /// The field it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The line of the body, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// The column, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

/// The media type of a [`ProblemDocument`].
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

impl Problem {
    /// The HTTP status and the stable code.
    pub fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::MediaType { .. } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::Encoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding"),
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
            Self::Attributes { .. } => (StatusCode::BAD_REQUEST, "invalid_attributes"),
            Self::Document { .. } => (StatusCode::BAD_REQUEST, "invalid_document"),
            Self::Parameter { .. } => (StatusCode::BAD_REQUEST, "invalid_parameter"),
            Self::TooMany { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_mails"),
            Self::UnknownModel => (StatusCode::NOT_FOUND, "unknown_model"),
            Self::ModelLoaded => (StatusCode::CONFLICT, "model_loaded"),
            Self::ModelsFull { .. } => (StatusCode::INSUFFICIENT_STORAGE, "models_full"),
            Self::ModelUrl { .. } => (StatusCode::BAD_REQUEST, "invalid_model"),
            Self::Unauthorized { .. } => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden { .. } => (StatusCode::FORBIDDEN, "forbidden"),
            Self::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            Self::UnderWay => (StatusCode::CONFLICT, "under_way"),
            Self::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
            Self::UnknownTask { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "unknown_task"),
            Self::UnknownPrediction => (StatusCode::NOT_FOUND, "unknown_prediction"),
            Self::StoreAway => (StatusCode::SERVICE_UNAVAILABLE, "store_away"),
            Self::Busy { .. } => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::NoModel => (StatusCode::SERVICE_UNAVAILABLE, "no_model"),
            Self::Late { .. } => (StatusCode::GATEWAY_TIMEOUT, "late"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// Seconds after which the same request may succeed.
    pub fn retry_s(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_s } | Self::Busy { retry_s } => Some(*retry_s),
            Self::UnderWay | Self::NoModel | Self::StoreAway => Some(1),
            _ => None,
        }
    }

    pub(crate) fn document(&self) -> ProblemDocument {
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
            Self::Document {
                path,
                line: at,
                column: within,
            } => {
                field = Some(path.clone());
                line = Some(*at);
                column = (*within > 0).then_some(*within);
            }
            Self::Parameter { name, .. } => field = Some((*name).to_owned()),
            _ => {}
        }
        let title = status.canonical_reason().unwrap_or("Error");
        let detail = self.to_string();
        ProblemDocument {
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

/// The code of the problem a response tells, for logs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code(pub &'static str);

impl Problem {
    /// This problem's response in the shape of some protocol: with its status and document, and the headers of ours.
    pub(crate) fn response(
        &self,
        status: StatusCode,
        media_type: &'static str,
        document: &impl Serialize,
    ) -> Response {
        // A struct of strings and numbers always serialises.
        let body = serde_json::to_vec(document).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        response.extensions_mut().insert(Code(self.kind().1));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(seconds) = self.retry_s() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self, Self::Unauthorized { .. }) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
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

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.response(self.kind().0, MEDIA_TYPE, &self.document())
    }
}
