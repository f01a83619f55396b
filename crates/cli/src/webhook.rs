//! Events on their way to others: CloudEvents 1.0 or EventBridge's envelope, signed, retried.
//!
//! Source: CloudEvents 1.0.2 with its HTTP binding; Standard Webhooks 1.0 for the signature; Amazon EventBridge, "SageMaker Model
//! Package State Change".

use crate::clock;
use crate::config::{Config, Format, Webhook};
use crate::context::{Context, store_failure};
use crate::failure::{Failure, Kind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use poststelle_lifecycle::{Change, Event, StandingName, Subject};
use serde_json::{Value, json};
use std::time::Duration;

/// Offers of one event, at most: with the waits between them some ten hours.
const ATTEMPTS: u32 = 15;
/// The first wait, doubled with every offer up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// What a receiver has for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A webhook, ready to be told.
pub struct Receiver {
    name: String,
    url: String,
    secret: Option<Vec<u8>>,
    format: Format,
    only: Vec<String>,
    agent: ureq::Agent,
}

/// An event as it is posted.
#[derive(Debug, PartialEq)]
pub struct Posted {
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Receiver {
    /// From its settings.
    pub fn of(hook: &Webhook, config: &Config) -> Result<Self, Failure> {
        let secret = hook
            .secret
            .as_ref()
            .map(|secret| config.secret(secret))
            .transpose()?;
        let secret = secret.map(|text| match text.strip_prefix("whsec_") {
            None => Ok(text.into_bytes()),
            Some(encoded) => BASE64.decode(encoded).map_err(|_| Failure {
                kind: Kind::Misused,
                message: format!(
                    "the secret of webhook `{}` is not base64 after `whsec_`",
                    hook.name
                ),
                hint: None,
            }),
        });
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .build();
        Ok(Self {
            name: hook.name.clone(),
            url: hook.url.clone(),
            secret: secret.transpose()?,
            format: hook.format,
            only: hook.only.clone(),
            agent: agent.into(),
        })
    }

    /// Posts an event; gives the status, or why there is none.
    fn post(&self, event: &Event, posted: Posted) -> Result<u16, String> {
        let Posted { headers, body } = posted;
        let mut request = self.agent.post(&self.url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(secret) = &self.secret {
            let stamp = clock::timestamp().as_second().to_string();
            let signature = signature(secret, event.id.as_str(), &stamp, &body);
            request = request
                .header("webhook-id", event.id.as_str())
                .header("webhook-timestamp", stamp)
                .header("webhook-signature", signature);
        }
        let answer = request.send(body).map_err(|error| error.to_string())?;
        Ok(answer.status().as_u16())
    }
}

/// Offers a webhook its next event, if one is due, and says what came of it.
pub fn next(hook: &Receiver, context: &Context) -> Result<Option<String>, Failure> {
    let now = clock::timestamp();
    let receiver = format!("webhook/{}", hook.name);
    let delivery = context
        .block(context.store.next_delivery(&receiver, now))
        .map_err(store_failure)?;
    let Some(delivery) = delivery else {
        return Ok(None);
    };
    let event = &delivery.event;
    let (name, sequence) = (&hook.name, event.sequence);
    let wanted = hook.only.is_empty() || hook.only.iter().any(|only| only == event.change.name());
    let posted = if wanted { write(hook.format, event) } else { None };
    let Some(posted) = posted else {
        context
            .block(context.store.delivered(&delivery))
            .map_err(store_failure)?;
        return Ok(Some(format!("event {sequence} is none of `{name}`'s")));
    };
    let error = match hook.post(event, posted) {
        Ok(status) if (200..300).contains(&status) => {
            context
                .block(context.store.delivered(&delivery))
                .map_err(store_failure)?;
            return Ok(Some(format!("`{name}` took event {sequence}")));
        }
        Ok(status) => format!("status {status}"),
        Err(error) => error,
    };
    // 410: the receiver is gone and wants nothing more (Standard Webhooks).
    if delivery.attempts + 1 >= ATTEMPTS || error == "status 410" {
        context
            .block(context.store.died(&delivery, now, &error))
            .map_err(store_failure)?;
        return Ok(Some(format!(
            "`{name}` never took event {sequence}: {error}; put aside"
        )));
    }
    let wait = FIRST_WAIT
        .saturating_mul(1 << delivery.attempts.min(20))
        .min(LONGEST_WAIT);
    let due = now.saturating_add(wait).unwrap_or(now);
    context
        .block(context.store.failed(&delivery, due, &error))
        .map_err(store_failure)?;
    Ok(Some(format!(
        "`{name}` did not take event {sequence}: {error}; again in {} s",
        wait.as_secs()
    )))
}

/// `v1,` and the base64 of HMAC-SHA-256 over id, time and body (Standard Webhooks).
fn signature(secret: &[u8], id: &str, stamp: &str, body: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).expect("a key of any length");
    mac.update(format!("{id}.{stamp}.{body}").as_bytes());
    format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
}

/// An event in a format; none where the format has no word for it.
fn write(format: Format, event: &Event) -> Option<Posted> {
    let source = format!("/poststelle/{}", event.environment);
    let (kind, subject) = match &event.subject {
        Subject::Version(id) => ("version", id.to_string()),
        Subject::Endpoint(name) => ("endpoint", name.to_string()),
        Subject::ApiKey(id) => ("api_key", id.to_string()),
    };
    let kind = format!("org.poststelle.{kind}.{}", event.change.name());
    let json_type = || "application/json".to_owned();
    let posted = match format {
        Format::Structured => Posted {
            headers: vec![("content-type", "application/cloudevents+json".into())],
            body: json!({
                "specversion": "1.0", "id": event.id, "source": source, "type": kind, "subject": subject,
                "time": event.at, "datacontenttype": "application/json", "sequence": event.sequence.to_string(),
                "data": data(event),
            })
            .to_string(),
        },
        Format::Binary => Posted {
            headers: vec![
                ("content-type", json_type()),
                ("ce-specversion", "1.0".into()),
                ("ce-id", event.id.to_string()),
                ("ce-source", source),
                ("ce-type", kind),
                ("ce-subject", subject),
                ("ce-time", event.at.to_string()),
                ("ce-sequence", event.sequence.to_string()),
            ],
            body: data(event).to_string(),
        },
        Format::EventBridge => {
            let Subject::Version(id) = &event.subject else {
                return None;
            };
            let standing = match &event.change {
                Change::Registered { .. } => StandingName::Registered,
                Change::Evaluated { .. } => StandingName::Evaluated,
                Change::ApprovalRequested { .. } | Change::ApprovalGiven { .. } => StandingName::Pending,
                Change::Approved { .. } => StandingName::Approved,
                Change::Rejected { .. } => StandingName::Rejected,
                Change::Withdrawn { .. } => StandingName::Withdrawn,
                Change::RolloutStarted { .. }
                | Change::RolloutEnded { .. }
                | Change::RolledBack { .. }
                | Change::KeyIssued { .. }
                | Change::KeyReplaced { .. }
                | Change::KeyRevoked { .. } => return None,
            };
            Posted {
                headers: vec![("content-type", json_type())],
                body: json!({
                    "version": "0",
                    "id": event.id,
                    "detail-type": "SageMaker Model Package State Change",
                    "source": "aws.sagemaker",
                    "account": "",
                    "time": event.at,
                    "region": "",
                    "resources": [format!("{source}/{id}")],
                    "detail": {
                        "ModelPackageGroupName": id.model,
                        "ModelPackageVersion": id.number,
                        "ModelPackageArn": format!("{source}/{id}"),
                        "ModelPackageStatus": "Completed",
                        "ModelApprovalStatus": standing.sagemaker(),
                        "CreationTime": event.at,
                    },
                })
                .to_string(),
            }
        }
    };
    Some(posted)
}

/// What an event says besides its envelope.
fn data(event: &Event) -> Value {
    let mut data = json!({ "environment": event.environment, "by": event.by });
    if let (Value::Object(data), Ok(Value::Object(change))) = (&mut data, serde_json::to_value(&event.change))
    {
        data.extend(change);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let secret = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let found = signature(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(found, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
