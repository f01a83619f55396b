//! Opens an environment's gateway.

use crate::config::{Config, Environment, Gateway as GatewayConfig};
use crate::context::{Context, Wall, Where, open};
use crate::failure::{Failure, Kind};
use poststelle_server::{
    App, Audit, Certificate, Door, Entrance, Gateway, Policy, TokenSettings, Tokens, public,
};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// A gateway whose socket is bound and whose files are read, so that what is wrong with them ends the command.
pub struct Opening {
    config: Config,
    environment: Environment,
    settings: GatewayConfig,
    listener: TcpListener,
    address: SocketAddr,
    certificate: Option<Certificate>,
    tokens: Option<Tokens>,
    audit: Option<Audit>,
}

fn misused(message: String, hint: &str) -> Failure {
    Failure {
        kind: Kind::Misused,
        message,
        hint: Some(hint.to_owned()),
    }
}

impl Opening {
    /// Reads `[env.NAME.gateway]`.
    pub fn of(at: &Where) -> Result<Self, Failure> {
        let Context {
            config,
            environment,
            name,
            ..
        } = at.clone().unattended().open()?;
        let settings = environment.gateway.clone().ok_or_else(|| {
            misused(
                format!("environment `{name}` has no gateway"),
                "add `[env.NAME.gateway]` to the configuration, see docs/gateway.md",
            )
        })?;
        let listen = settings.listen;
        if settings.tls.is_none() && !settings.plain && !listen.ip().is_loopback() {
            return Err(misused(
                format!("the gateway would send keys and mail over {listen} unencrypted"),
                "set `tls`, or `plain = true` where something before it speaks TLS",
            ));
        }
        let certificate = match &settings.tls {
            None => None,
            Some(tls) => {
                let opened = Certificate::open(config.path(&tls.certificate), config.path(&tls.key));
                Some(opened.map_err(|error| {
                    Failure::misused(error).hint(
                        "`tls` names a chain and its key, both in PEM, the server's own certificate first",
                    )
                })?)
            }
        };
        let tokens = match &settings.oidc {
            None => None,
            Some(oidc) => {
                let settings = TokenSettings {
                    issuer: oidc.issuer.clone(),
                    audience: oidc.audience.clone(),
                    jwks_url: oidc.jwks_url.clone(),
                };
                Some(Tokens::new(settings).map_err(|error| {
                    Failure::misused(error)
                        .hint("`oidc.issuer` and `oidc.jwks_url` are addresses of the identity provider")
                })?)
            }
        };
        let audit = match &settings.audit {
            None => None,
            Some(file) => {
                let path = config.path(file);
                let opened = Audit::open(path.clone());
                Some(opened.map_err(|error| {
                    misused(
                        format!("`{}`: {error}", path.display()),
                        "`audit` names the audit log",
                    )
                })?)
            }
        };
        let listener = TcpListener::bind(listen).map_err(|error| {
            misused(
                format!("{listen}: {error}"),
                "the gateway's `listen` cannot be listened on",
            )
        })?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self {
            config,
            environment,
            settings,
            listener,
            address,
            certificate,
            tokens,
            audit,
        })
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}/v1", self.address)
    }

    /// Opens it before `app`, on the threads that serve it.
    pub async fn open(self, app: Arc<App>) -> Result<Entrance, Failure> {
        let (store, _) = open(&self.config, &self.environment).await?;
        let GatewayConfig {
            keep,
            keep_days,
            mails,
            body_kib,
            requests_per_minute,
            ..
        } = self.settings;
        let policy = Policy {
            keep,
            keep_days,
            mails,
            body_bytes: body_kib << 10,
            requests_per_minute,
        };
        let gateway = Gateway::new(app, store, Arc::new(Wall), policy, self.tokens, self.audit);
        tokio::spawn(Arc::clone(&gateway).purge());
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        Ok(Entrance {
            name: "public",
            door: match self.certificate {
                Some(certificate) => Door::Tls(listener, certificate),
                None => Door::Tcp(listener),
            },
            router: public(&gateway),
        })
    }
}
