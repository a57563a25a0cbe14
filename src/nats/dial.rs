//! Where to connect to, and how.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};

use crate::broker::Error;
use crate::sync::AtomicBool;

use super::connection::attempt;
use super::{ENGINE, Options, format};

/// How often to ask a silent server whether it is there.
const PING: Duration = Duration::from_secs(10);
/// Between two attempts to connect, at the most.
const RECONNECT: Duration = Duration::from_secs(1);
/// The same for a connection that nobody needs any more.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The servers that a URL names, or several with commas between them.
pub(crate) fn servers(url: &str) -> Result<Vec<ServerAddr>, Error> {
    let wrong = |why: &dyn std::fmt::Display| Error::InvalidConfig {
        reason: format!(
            "{ENGINE} is to be connected to `nats://host:port`, or several with commas between them: {why}"
        ),
    };
    let mut servers = Vec::new();
    for url in url.split(',') {
        let server: ServerAddr = url.trim().parse().map_err(|error| wrong(&error))?;
        if server.host().is_empty() {
            return Err(wrong(&"there is no host in it"));
        }
        servers.push(server);
    }
    Ok(servers)
}

/// What a URL says of who connects: a user and a password, or a token alone.
fn credentials_in(servers: &[ServerAddr], connect: ConnectOptions) -> ConnectOptions {
    let text = |encoded: &str| {
        let bytes = format::unescaped(encoded).unwrap_or_else(|| encoded.into());
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let mut named = servers
        .iter()
        .filter_map(|server| Some((server.username()?, server)));
    match named.next() {
        None => connect,
        Some((token, server)) => match server.password() {
            None => connect.token(text(token)),
            Some(password) => connect.user_and_password(text(token), text(password)),
        },
    }
}

pub(crate) async fn connect_options(
    options: &Options,
    servers: &[ServerAddr],
    over: &Arc<AtomicBool>,
) -> Result<ConnectOptions, Error> {
    let over = Arc::clone(over);
    let mut connect = ConnectOptions::new()
        .require_tls(options.tls)
        .request_timeout(Some(attempt(options.request_timeout)))
        .max_reconnects(None)
        .reconnect_delay_callback(move |attempts| {
            if over.load(Ordering::Relaxed) {
                return NEVER;
            }
            let doubled = 1_u64 << attempts.saturating_sub(1).min(10);
            Duration::from_millis(doubled).min(RECONNECT)
        })
        .ping_interval(PING);
    if !options.has_credentials() {
        connect = credentials_in(servers, connect);
    }
    if let Some(name) = &options.name {
        connect = connect.name(name);
    }
    if let Some((user, password)) = &options.user {
        connect = connect.user_and_password(user.clone(), password.clone());
    }
    if let Some(token) = &options.token {
        connect = connect.token(token.clone());
    }
    if let Some(seed) = &options.nkey {
        connect = connect.nkey(seed.clone());
    }
    if let Some(path) = &options.credentials_file {
        let read = connect.credentials_file(path).await;
        connect = read.map_err(|error| Error::InvalidConfig {
            reason: format!(
                "the credentials file `{}` cannot be used: {error}",
                path.display()
            ),
        })?;
    }
    if let Some(path) = &options.root_certificates {
        connect = connect.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = &options.client_certificate {
        connect = connect.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(connect)
}
