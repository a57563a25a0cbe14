//! How to connect, and how topics are stored.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::broker::Error;

/// How to connect to NATS, and how the topics are stored that are created over the connection.
///
/// ```
/// use std::time::Duration;
/// use pushpull::nats::Options;
///
/// let options = Options::new()
///     .name("billing")
///     .user("billing", "secret")
///     .request_timeout(Duration::from_secs(10))
///     .replicas(3);
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
///
/// A cluster over TLS, with a user's credentials file; and one that knows its clients by their certificates:
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), pushpull::broker::Error> {
/// use pushpull::nats::{Nats, Options};
///
/// let by_file = Options::new()
///     .tls(true)
///     .root_certificates("/etc/nats/ca.pem")
///     .credentials_file("/etc/nats/billing.creds");
/// let nats = Nats::connect("tls://one.example.org,tls://two.example.org", by_file).await?;
///
/// let by_certificate = Options::new()
///     .tls(true)
///     .root_certificates("/etc/nats/ca.pem")
///     .client_certificate("/etc/nats/billing.pem", "/etc/nats/billing.key");
/// let nats = Nats::connect("tls://one.example.org", by_certificate).await?;
///
/// // One way to say who one is, not two.
/// let both = Options::new().token("secret").user("billing", "secret");
/// assert!(Nats::connect("one.example.org", both).await.is_err());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) name: Option<String>,
    pub(crate) user: Option<(String, String)>,
    pub(crate) token: Option<String>,
    pub(crate) credentials_file: Option<PathBuf>,
    pub(crate) nkey: Option<String>,
    pub(crate) tls: bool,
    pub(crate) root_certificates: Option<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) request_timeout: Duration,
    pub(crate) replicas: usize,
    pub(crate) in_memory: bool,
}

impl Options {
    /// A connection without credentials, with a request timeout of 30 s; topics on the server's disk, without replicas.
    pub const fn new() -> Self {
        Self {
            name: None,
            user: None,
            token: None,
            credentials_file: None,
            nkey: None,
            tls: false,
            root_certificates: None,
            client_certificate: None,
            request_timeout: Duration::from_secs(30),
            replicas: 1,
            in_memory: false,
        }
    }

    /// The name by which the server's monitoring knows this program.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A user name and its password.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((name.into(), password.into()));
        self
    }

    /// A token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// A file with a user's JWT and seed, as NATS' own tools write it. It is read by [`connect`](super::Nats::connect).
    #[must_use]
    pub fn credentials_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.credentials_file = Some(path.into());
        self
    }

    /// The seed of an NKey.
    #[must_use]
    pub fn nkey(mut self, seed: impl Into<String>) -> Self {
        self.nkey = Some(seed.into());
        self
    }

    /// Whether to refuse a server that does not speak TLS. A server that asks for it gets it anyway, and so does one whose
    /// URL begins with `tls://`.
    #[must_use]
    pub const fn tls(mut self, required: bool) -> Self {
        self.tls = required;
        self
    }

    /// A PEM file with certificates to trust beside those of the operating system.
    #[must_use]
    pub fn root_certificates(mut self, path: impl Into<PathBuf>) -> Self {
        self.root_certificates = Some(path.into());
        self
    }

    /// PEM files with the certificate, and its key, that this program shows to the server.
    #[must_use]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// How long to try before an answer is an error: for one record, one request, or the first connection. A connection
    /// that is lost in between is waited for within this time, and what was not answered is asked again. 30 s unless told
    /// otherwise.
    #[must_use]
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// On how many servers of a cluster each topic is stored: 1, 3 or 5. For topics that are created; those that exist stay
    /// as they are. 1 unless told otherwise.
    #[must_use]
    pub const fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Whether topics that are created live in the server's memory and end with it. Off unless told otherwise.
    #[must_use]
    pub const fn in_memory(mut self, in_memory: bool) -> Self {
        self.in_memory = in_memory;
        self
    }

    fn ways(&self) -> usize {
        let ways = [
            self.user.is_some(),
            self.token.is_some(),
            self.credentials_file.is_some(),
            self.nkey.is_some(),
        ];
        ways.iter().filter(|&&given| given).count()
    }

    /// Whether these say who connects. Otherwise the URL may.
    pub(crate) fn has_credentials(&self) -> bool {
        self.ways() > 0
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let reason = if self.ways() > 1 {
            "NATS takes one of `user`, `token`, `credentials_file` and `nkey`: set the one that the server asks for"
        } else if self.request_timeout < Duration::from_millis(1) {
            "a `request_timeout` under a millisecond leaves no time for an answer: set a longer one"
        } else if !(1..=5).contains(&self.replicas) {
            "NATS keeps 1 to 5 `replicas` of a topic"
        } else {
            return Ok(());
        };
        Err(Error::InvalidConfig {
            reason: reason.into(),
        })
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("name", &self.name)
            .field("user", &self.user.as_ref().map(|(name, _password)| name))
            .field("token", &self.token.as_ref().map(|_secret| "..."))
            .field("credentials_file", &self.credentials_file)
            .field("nkey", &self.nkey.as_ref().map(|_secret| "..."))
            .field("tls", &self.tls)
            .field("root_certificates", &self.root_certificates)
            .field("client_certificate", &self.client_certificate)
            .field("request_timeout", &self.request_timeout)
            .field("replicas", &self.replicas)
            .field("in_memory", &self.in_memory)
            .finish()
    }
}
