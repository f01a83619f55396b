//! Who calls the gateway, what they may do, and how often.

mod key;
mod rate;
mod token;

pub use token::{TokenSettings, Tokens, TokensError};

use crate::connection::Peer;
use crate::gateway::Gateway;
use crate::log::{Mails, RequestId};
use crate::problem::{Code, Problem};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use poststelle_lifecycle::{ClientName, KeyText, Permission};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

pub(crate) use key::Keys;
pub(crate) use rate::Rates;

/// Somebody known.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Whose predictions are theirs.
    pub client: ClientName,
    /// The key's id, or `token`.
    pub key: String,
    /// What they may do.
    pub permissions: BTreeSet<Permission>,
    /// Requests a minute, where they differ from the gateway's.
    pub requests_per_minute: Option<u32>,
}

impl Caller {
    /// # Errors
    /// [`Problem::Forbidden`].
    pub fn may(&self, permission: Permission) -> Result<(), Problem> {
        if self.permissions.contains(&permission) {
            Ok(())
        } else {
            Err(Problem::Forbidden {
                missing: permission.as_str(),
            })
        }
    }
}

/// Lets known callers in, as often as they may come, and writes down who came.
pub(crate) async fn guard(
    State(gateway): State<Arc<Gateway>>,
    path: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let peer = request.extensions().get::<Peer>().and_then(|peer| peer.0);
    let request_id = request.extensions().get::<RequestId>().cloned();
    let known = authenticate(&gateway, request.headers()).await;
    let (response, caller) = match known {
        Err(problem) => (problem.into_response(), None),
        Ok(caller) => match gateway.rates.take(&caller) {
            Err(problem) => (problem.into_response(), Some(caller)),
            Ok(()) => {
                request.extensions_mut().insert(caller.clone());
                (next.run(request).await, Some(caller))
            }
        },
    };
    if let Some(audit) = &gateway.audit {
        audit.write(&crate::audit::Line {
            at: gateway.clock.now(),
            request_id: request_id.as_ref().map(RequestId::as_str).unwrap_or_default(),
            client: caller.as_ref().map(|caller| caller.client.as_str()),
            key: caller.as_ref().map(|caller| caller.key.as_str()),
            peer,
            method: method.as_str(),
            route: path.as_ref().map_or("(unknown path)", MatchedPath::as_str),
            status: response.status().as_u16(),
            code: response.extensions().get::<Code>().map(|code| code.0),
            mails: response.extensions().get::<Mails>().map(|mails| mails.0),
            took_ms: started.elapsed().as_secs_f64() * 1e3,
        });
    }
    response
}

/// Who sends these headers: `Authorization: Bearer`, or `X-Api-Key`.
async fn authenticate(gateway: &Gateway, headers: &HeaderMap) -> Result<Caller, Problem> {
    let refuse = |reason| Problem::Unauthorized { reason };
    let mut sent = headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .chain(headers.get_all("x-api-key"));
    let credential = match (sent.next(), sent.next()) {
        (None, _) => return Err(refuse("none was sent")),
        (Some(_), Some(_)) => return Err(refuse("several were sent")),
        (Some(one), None) => one.to_str().map_err(|_| refuse("it is no text"))?,
    };
    let credential = match credential.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim(),
        Some(_) => return Err(refuse("the scheme is not `Bearer`")),
        None if headers.contains_key("x-api-key") => credential,
        None => return Err(refuse("the scheme is not `Bearer`")),
    };
    if KeyText::is_meant(credential) {
        let key = KeyText::read(credential).ok_or(refuse("it is not a whole key"))?;
        return gateway.keys.authenticate(&key, gateway.clock.now()).await;
    }
    match &gateway.tokens {
        Some(tokens) => tokens.authenticate(credential, gateway.clock.now()).await,
        None => Err(refuse("it is no key of this gateway")),
    }
}
