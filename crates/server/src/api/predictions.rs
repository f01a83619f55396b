//! `/v1/predictions`: labels of mails.

pub(super) mod kept;
mod mails;
mod told;

use self::mails::Part;
pub(crate) use self::mails::PredictionsRequest;
use self::told::{Predictions, describe};
use super::document::{self, Document, Object, Word};
use super::{Refused, RefusedBody, external_id};
use crate::access::Caller;
use crate::answer::{EVIDENCE_MAILS, Include, answer, parse_or_write};
use crate::budget::held;
use crate::gateway::{Gateway, Keep};
use crate::idempotency::{Once, replayed};
use crate::log::Mails;
use crate::problem::Problem;
use crate::read::Record;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use poststelle_labels::{Schema, Task};
use poststelle_lifecycle::{Labelled, Permission, Predicted, PredictionId};
use poststelle_predict::{Answer, Mail, Prediction, Predictor};
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::Instrument;
use uuid::Uuid;

/// Label mails
///
/// Each mail is cleaned and labelled for every task of the schema; what is wrong with one mail is told there and fails no other.
#[utoipa::path(
    post,
    path = "/v1/predictions",
    operation_id = "create_predictions",
    tag = "predictions",
    security(("bearer" = []), ("api_key" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "A request with the same key is done once", nullable = false, max_length = 255, pattern = r"^[\x21-\x7e]+$"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS`: answer by then or not at all (RFC 7240)", nullable = false)
    ),
    request_body = PredictionsRequest,
    responses(
        (
            status = 200,
            description = "One prediction per mail, in order",
            body = Predictions,
            headers(("Idempotent-Replayed" = bool, description = "`true`: the answer of an earlier request with this idempotency key")),
            links(
                ("show" = (operation_id = "show_prediction", parameters(("id" = "$response.body#/predictions/0/id")))),
                ("erase" = (operation_id = "erase_prediction", parameters(("id" = "$response.body#/predictions/0/id")))),
                ("list" = (operation_id = "list_predictions", parameters(("external_id" = "$response.body#/predictions/0/external_id")))),
                ("erase_mail" = (operation_id = "erase_mail", parameters(("external_id" = "$response.body#/predictions/0/external_id")))),
                ("feedback" = (operation_id = "create_feedback", request_body = json!({"prediction_id": "$response.body#/predictions/0/id"})))
            )
        ),
        Refused,
        RefusedBody
    )
)]
pub(super) async fn create(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Permission::Predict)?;
    let (head, body) = request.into_parts();
    let deadline = gateway.app.deadline(&head.headers);
    let limit = gateway.policy.body_bytes;
    let Document {
        value,
        size,
        share,
        fingerprint,
    } = document::read::<PredictionsRequest>(&head.headers, body, &gateway.app, limit).await?;
    let evidence = value
        .include
        .iter()
        .any(|Word(part)| matches!(part, Part::Evidence));
    let most = if evidence {
        gateway.policy.mails.min(EVIDENCE_MAILS)
    } else {
        gateway.policy.mails
    };
    let found = value.mails.len();
    if found > most {
        return Err(Problem::TooMany { found, most });
    }
    for Object(mail) in &value.mails {
        mail.external_id.as_deref().map_or(Ok(()), external_id)?;
    }
    let once = Once::begin(&gateway, &caller, &head.headers, "predictions", &fingerprint).await?;
    let ask = Ask {
        gateway: &gateway,
        caller: &caller,
        request: value,
        deadline,
    };
    let (predictions, is_first) = match once.first() {
        Some(first) => (ask.again(first).await?, false),
        None => {
            let done = ask.first().await;
            once.end(|| Some(done.as_ref().ok()?.clone().without_words()))
                .await;
            (done?, true)
        }
    };
    let written = parse_or_write(size, move || {
        serde_json::to_vec(&predictions).map_err(|_| Problem::Internal)
    });
    let mut response = Response::new(held(written.await??, share));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.extensions_mut().insert(Mails(found));
    Ok(if is_first { response } else { replayed(response) })
}

/// A request on its way.
struct Ask<'a> {
    gateway: &'a Gateway,
    caller: &'a Caller,
    request: PredictionsRequest,
    deadline: crate::app::Deadline,
}

impl Ask<'_> {
    /// Labels the mails and keeps the answers.
    async fn first(self) -> Result<Predictions, Problem> {
        let include = self.request.include();
        let Self {
            gateway,
            caller,
            request,
            deadline,
        } = self;
        let app = &gateway.app;
        let names: Vec<Option<String>> = request
            .mails
            .iter()
            .map(|Object(mail)| mail.external_id.clone())
            .collect();
        let records: Vec<Record> = request
            .mails
            .into_iter()
            .enumerate()
            .map(|(at, Object(mail))| mail.into_record(at))
            .collect();
        let with_text = matches!(gateway.policy.keep, Keep::Redacted | Keep::Text);
        let kept_mails: Vec<Option<Mail>> = match with_text {
            true => records.iter().map(|record| record.mail.clone().ok()).collect(),
            false => Vec::new(),
        };
        let answers = answer(app, &app.live, records, include, deadline).await?;
        app.metrics
            .wrong_records(answers.rows.iter().filter(|row| row.is_err()).count());
        let mut predictions = describe(&answers, names);
        if gateway.policy.keep == Keep::Nothing {
            return Ok(predictions);
        }
        for (prediction, row) in predictions.predictions.iter_mut().zip(&answers.rows) {
            prediction.id = row.is_ok().then(|| format!("pred_{}", Uuid::now_v7().simple()));
        }
        let (keep, predictor) = (gateway.policy.keep, Arc::clone(&answers.served.predictor));
        let size = kept_mails.iter().flatten().map(Mail::bytes).sum();
        let texts = parse_or_write(size, move || {
            let text = |mail: &Option<Mail>| kept_text(&predictor, mail.as_ref()?, keep);
            kept_mails.iter().map(text).collect::<Vec<_>>()
        })
        .await?;
        let at = gateway.clock.now();
        let records = predictions
            .predictions
            .iter()
            .enumerate()
            .filter_map(|(n, prediction)| {
                let id = PredictionId::try_from(prediction.id.clone()?).ok()?;
                Some(Predicted {
                    id,
                    client: caller.client.clone(),
                    external_id: prediction.external_id.clone(),
                    at,
                    model_version: predictions.model_version.clone(),
                    schema_version: predictions.schema_version,
                    scope: answers.rows[n].as_ref().ok()?.scope.as_str().to_owned(),
                    truncated: prediction.truncated,
                    tasks: labelled(answers.served.predictor.schema(), answers.rows[n].as_ref().ok()?),
                    text: texts.get(n).cloned().flatten(),
                })
            });
        let kept = gateway
            .recorder
            .keep(records.collect())
            .instrument(tracing::info_span!("keep"))
            .await;
        if !kept {
            predictions
                .predictions
                .iter_mut()
                .for_each(|prediction| prediction.id = None);
        }
        Ok(predictions)
    }

    /// Gives the first request's answer once more. What was asked to be told of the mails is told anew, since it is not kept.
    async fn again(self, first: &str) -> Result<Predictions, Problem> {
        let mut predictions: Predictions = serde_json::from_str(first).map_err(|_| Problem::Internal)?;
        let include = self.request.include();
        if include == Include::default() {
            return Ok(predictions);
        }
        let app = &self.gateway.app;
        let records = self
            .request
            .mails
            .into_iter()
            .enumerate()
            .map(|(at, Object(mail))| mail.into_record(at))
            .collect();
        let answers = answer(app, &app.live, records, include, self.deadline).await?;
        for (prediction, told) in predictions.predictions.iter_mut().zip(answers.told) {
            prediction.tell(told);
        }
        Ok(predictions)
    }
}

fn labelled(schema: &Schema, prediction: &Prediction) -> BTreeMap<String, Option<Labelled>> {
    let tasks = schema.tasks().iter().zip(&prediction.answers);
    let answer = |(task, answer): (&Task, &Option<Answer>)| {
        let answer = answer.as_ref().map(|answer| Labelled {
            label: task.label(answer.class).name.clone(),
            confidence: answer.confidence,
            decision: answer.decision.as_str().to_owned(),
        });
        (task.name().to_string(), answer)
    };
    tasks.map(answer).collect()
}

/// What is kept of a mail by this policy.
fn kept_text(predictor: &Predictor, mail: &Mail, keep: Keep) -> Option<String> {
    let clean = predictor.clean_text(mail)?;
    match keep {
        Keep::Nothing | Keep::Labels => None,
        Keep::Redacted => Some(clean.redacted().model_text(None)),
        Keep::Text => Some(clean.model_text(None)),
    }
}
