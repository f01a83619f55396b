//! The HTTP doors.
//!
//! Behind the private door ([`private`]) is an endpoint as SageMaker, KServe and text-embeddings-inference have it; before it stands a
//! gateway ([`public`]) with keys, tokens and limits, whose predictions are kept so that feedback can name them. Both serve what is
//! [`Live`]: one bundle for good, or what its environment's store wants it to serve ([`Follow`]).
//!
//! A request is read, parsed, classified and written within bounds of bytes and time, and everything a client can get wrong has an
//! answer of its own (a [`Problem`] with a stable `code`), so the server lives on whatever it is sent.
//!
//! **Invariant.** Neither a log line nor an error holds mail text: they name positions, fields and sizes.

mod access;
mod answer;
mod api;
mod app;
mod audit;
mod body;
mod budget;
mod connection;
mod evidence;
mod follow;
mod gateway;
mod health;
mod idempotency;
mod kserve;
mod live;
mod log;
mod media;
mod metrics;
mod models;
mod problem;
mod read;
mod record;
mod sagemaker;
mod serve;
mod settings;
mod tei;
mod tls;
mod write;

pub use access::{TokenSettings, Tokens, TokensError};
pub use api::openapi;
pub use app::App;
pub use audit::Audit;
pub use connection::Door;
pub use follow::{Follow, FollowError, Opens};
pub use gateway::{Gateway, Keep, Policy};
pub use live::Live;
pub use models::Models;
pub use problem::Problem;
pub use serve::{Entrance, private, public, run, serve};
pub use settings::Settings;
pub use tls::{Certificate, TlsError};

/// Parses a body as every protocol would and forgets what it found: the ground of fuzz targets.
pub fn parse_bodies(body: &[u8]) {
    use media::{Content, Format};
    for format in [Format::Json, Format::JsonLines, Format::Csv] {
        for headless in [false, true] {
            let _ = read::records(body, Content { format, headless }, headless);
        }
    }
    // Where JSON ends is the client's to say, too.
    let json_bytes = body.first().map(|first| usize::from(*first));
    let _ = read::inference(body, None);
    let _ = read::inference(body.get(1..).unwrap_or_default(), json_bytes);
    let _ = read::inputs(body);
    api::parse(body);
}
