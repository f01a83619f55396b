//! The gateway's resources under `/v1`, and the OpenAPI file made from them.

mod document;
mod feedback;
mod predictions;
mod schema;

use crate::access;
use crate::answer::EVIDENCE_MAILS;
use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemDocument};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Poststelle",
        description = "Labels incoming client mail, and takes back what it really was. Times are RFC 3339; errors are RFC 9457.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(ProblemDocument)),
    modifiers(&Security),
    tags(
        (name = "predictions", description = "Labels of mails"),
        (name = "feedback", description = "What mails really were"),
        (name = "schema", description = "What can be predicted"),
        (name = "health", description = "Whether it answers")
    )
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key, or a token of the identity provider"))
            .build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let key = ApiKey::Header(ApiKeyValue::with_description("X-Api-Key", "An API key"));
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(key));
    }
}

fn resources() -> (OpenApiRouter<Arc<Gateway>>, OpenApiRouter<Arc<Gateway>>) {
    let guarded = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(
            predictions::create,
            predictions::kept::list,
            predictions::kept::erase_mail
        ))
        .routes(routes!(predictions::kept::show, predictions::kept::erase))
        .routes(routes!(feedback::create))
        .routes(routes!(schema::show));
    (guarded, OpenApiRouter::new().routes(routes!(health)))
}

/// The OpenAPI 3.1 document of the gateway, whatever it serves.
pub fn openapi() -> Value {
    let (guarded, open) = resources();
    let document = guarded.merge(open).into_openapi();
    // It is made of texts and lists.
    let mut document = serde_json::to_value(document).expect("a document as JSON");
    // What attributes have no word for.
    let feedback = &mut document["components"]["schemas"]["FeedbackRequest"];
    let names = |field: &str| json!({"required": [field], "properties": {field: {"type": "string"}}});
    feedback["if"] = names("prediction_id");
    feedback["else"] = names("external_id");
    feedback["properties"]["labels"]["minProperties"] = json!(1);
    let predictions = &mut document["components"]["schemas"]["PredictionsRequest"];
    let evidence = json!({"contains": {"const": "evidence"}});
    predictions["if"] = json!({"required": ["include"], "properties": {"include": evidence}});
    predictions["then"] = json!({"properties": {"mails": {"maxItems": EVIDENCE_MAILS}}});
    document
}

pub(crate) fn router(gateway: &Arc<Gateway>) -> Router {
    let (guarded, open) = resources();
    let guarded: Router<Arc<Gateway>> = guarded.into();
    let open: Router<Arc<Gateway>> = open.into();
    guarded
        .route_layer(from_fn_with_state(Arc::clone(gateway), access::guard))
        .merge(open)
        .route("/v1/openapi.json", get(document))
        .layer(map_response(private))
        .with_state(Arc::clone(gateway))
}

/// What is answered is for the one who asked.
async fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Whether it answers
#[utoipa::path(
    get,
    path = "/v1/health",
    operation_id = "check_health",
    tag = "health",
    responses((status = 200, description = "It does"), (status = 503, description = "No model is deployed, or it ends"))
)]
async fn health(State(gateway): State<Arc<Gateway>>) -> StatusCode {
    if gateway.app.ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// Answers `GET /v1/openapi.json` with the document, and the tasks of what is served now in it.
async fn document(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    let mut document = openapi();
    if let Some(served) = gateway.app.live.current() {
        let tasks = served.predictor.schema().tasks().iter();
        let label = || json!({"type": "string", "minLength": 1, "maxLength": feedback::LABEL_LENGTH});
        let properties: serde_json::Map<String, Value> =
            tasks.map(|task| (task.name().to_string(), label())).collect();
        let labels = &mut document["components"]["schemas"]["FeedbackRequest"]["properties"]["labels"];
        labels["properties"] = properties.into();
        labels["additionalProperties"] = json!(false);
    }
    let mails = &mut document["components"]["schemas"]["PredictionsRequest"]["properties"]["mails"];
    mails["maxItems"] = json!(gateway.policy.mails);
    Json(document)
}

/// The problems every guarded route has.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "the document is made of it")]
enum Refused {
    /// A parameter, a header or the body is wrong
    #[response(status = 400, content_type = "application/problem+json")]
    Bad(ProblemDocument),
    /// No valid key or token
    #[response(status = 401, content_type = "application/problem+json", headers(("WWW-Authenticate" = String, description = "`Bearer`")))]
    Unauthorized(ProblemDocument),
    /// The key or token lacks the permission
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemDocument),
    /// More requests than this client may send; `Retry-After` says when to come again
    #[response(status = 429, content_type = "application/problem+json", headers(("Retry-After" = u64, description = "Seconds until the same request may succeed")))]
    TooOften(ProblemDocument),
    /// The server's own fault
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemDocument),
    /// Too much waits, no model is deployed, or the store is away; `Retry-After` says when to come again
    #[response(status = 503, content_type = "application/problem+json", headers(("Retry-After" = u64, description = "Seconds until the same request may succeed")))]
    Away(ProblemDocument),
}

/// The problems of routes with a body, besides those.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "the document is made of it")]
enum RefusedBody {
    /// The body did not arrive in time
    #[response(status = 408, content_type = "application/problem+json")]
    Slow(ProblemDocument),
    /// A request with the same idempotency key is being answered
    #[response(status = 409, content_type = "application/problem+json", headers(("Retry-After" = u64, description = "Seconds until the same request may succeed")))]
    UnderWay(ProblemDocument),
    /// The body is too large, or holds too many mails
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemDocument),
    /// The body is not JSON
    #[response(status = 415, content_type = "application/problem+json")]
    MediaType(ProblemDocument),
    /// The idempotency key was used with another request, or a task is unknown
    #[response(status = 422, content_type = "application/problem+json")]
    Unprocessable(ProblemDocument),
    /// The mails were not labelled in time
    #[response(status = 504, content_type = "application/problem+json")]
    Late(ProblemDocument),
}

/// Parses a body as every resource would.
pub(crate) fn parse(body: &[u8]) {
    let _ = document::parse::<predictions::PredictionsRequest>(body);
    let _ = document::parse::<feedback::FeedbackRequest>(body);
}

/// What a client calls a mail: 1 to 256 characters, none of them a control character, for a database must keep it.
fn external_id(text: &str) -> Result<(), Problem> {
    let fits =
        !text.is_empty() && text.chars().count() <= 256 && !text.chars().any(|c| c < ' ' || c == '\u{7f}');
    if fits {
        Ok(())
    } else {
        Err(Problem::Parameter {
            name: "external_id",
            expected: "1 to 256 characters without control characters",
        })
    }
}
