//! Who may connect, and how.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::StreamExt;
use pushpull::broker::{
    Consumer as _, ConsumerConfig, Error, Event, Producer, Record, Start, TopicConfig,
};
use pushpull::nats::{Nats, Options};

use crate::kit::*;

/// A connection that works.
async fn works(url: &str, options: Options) {
    let nats = connect_with(url, options).await;
    let config = TopicConfig::partitions(1);
    nats.create_topic("t", config).await.unwrap();
    nats.producer().push(Record::new("t", "v")).await.unwrap();
    nats.close().await.unwrap();
}

/// What is said where it does not.
async fn fails(url: &str, options: Options) -> String {
    let error = within(LONG, Nats::connect(url, options)).await.unwrap_err();
    assert!(matches!(error, Error::Engine { .. }), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn users_have_passwords() {
    need_server!();
    let server = Server::start_with(&["--user", "alice", "--pass", "secret"]);
    let url = server.url();
    works(&url, Options::new().user("alice", "secret")).await;
    works(&url.replace("://", "://alice:secret@"), Options::new()).await;
    for options in [Options::new(), Options::new().user("alice", "wrong")] {
        let said = fails(&url, options).await;
        assert!(said.contains("authorization violation"), "{said}");
        assert!(said.contains("`user`"), "{said}");
        assert!(!said.contains("wrong"), "{said}");
    }
}

#[tokio::test]
async fn tokens_are_enough() {
    need_server!();
    let server = Server::start_with(&["--auth", "secret"]);
    works(&server.url(), Options::new().token("secret")).await;
    let said = fails(&server.url(), Options::new().token("wrong")).await;
    assert!(said.contains("authorization violation"), "{said}");
}

#[tokio::test]
async fn keys_sign() {
    need_server!();
    let server = Server::start();
    let pair = nkeys_of(&server);
    let config = server.dir().join("nkey.conf");
    let text = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", pair.0);
    std::fs::write(&config, text).unwrap();
    let server = Server::start_with(&["-c", config.to_str().unwrap()]);
    works(&server.url(), Options::new().nkey(pair.1)).await;
    let said = fails(&server.url(), Options::new()).await;
    assert!(said.contains("authorization violation"), "{said}");
}

/// A public key and its seed, from the documentation of NATS.
fn nkeys_of(_server: &Server) -> (&'static str, &'static str) {
    (
        "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4",
        "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY",
    )
}

#[tokio::test]
async fn certificates_are_checked() {
    need_server!();
    let server = Server::start();
    let Some((certificate, key)) = certificate(server.dir()) else {
        eprintln!("there is no `openssl` to make a certificate with: left out");
        return;
    };
    let tls = ["--tls", "--tlscert", &certificate, "--tlskey", &key];
    let secured = Server::start_with(&tls);
    let trusting = || Options::new().root_certificates(&certificate);
    works(&secured.url(), trusting()).await;
    works(&secured.url(), trusting().tls(true)).await;
    works(&secured.url().replace("nats://", "tls://"), trusting()).await;
    let said = fails(&secured.url(), Options::new()).await;
    assert!(said.to_lowercase().contains("certificate"), "{said}");
    // Who asks for it does not do without.
    let said = fails(&server.url(), trusting().tls(true)).await;
    assert!(said.starts_with("NATS: connecting failed"), "{said}");

    let mutual = [&tls[..], &["--tlsverify", "--tlscacert", &certificate]].concat();
    let mutual = Server::start_with(&mutual);
    let shown = trusting().client_certificate(&certificate, &key);
    works(&mutual.url(), shown).await;
    fails(&mutual.url(), trusting()).await;
}

/// A certificate for this host, signed by itself, and its key.
fn certificate(dir: &Path) -> Option<(String, String)> {
    let file = |name| dir.join(name).to_str().map(str::to_owned);
    let (certificate, key) = (file("certificate.pem")?, file("key.pem")?);
    let made = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-newkey", "ec", "-days", "2"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args([
            "-subj",
            "/CN=localhost",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "extendedKeyUsage=serverAuth,clientAuth"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .ok()?;
    made.success().then_some((certificate, key))
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let refused = [
        ("", Options::new()),
        ("http://localhost", Options::new()),
        ("nats://[", Options::new()),
        ("localhost", Options::new().user("a", "b").token("c")),
        ("localhost", Options::new().request_timeout(Duration::ZERO)),
        ("localhost", Options::new().replicas(0)),
        ("localhost", Options::new().replicas(7)),
        ("localhost", Options::new().credentials_file("/nowhere")),
    ];
    for (url, options) in refused {
        let error = Nats::connect(url, options.clone()).await.unwrap_err();
        assert!(
            matches!(error, Error::InvalidConfig { .. }),
            "{url} {options:?}: {error:?}"
        );
    }
    let secret = Options::new().user("alice", "secret").name("billing");
    let shown = format!("{secret:?}");
    assert!(
        shown.contains("alice") && !shown.contains("secret"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_or_not_fit_is_told_at_once() {
    need_server!();
    let mut server = Server::start();
    let url = server.url();
    let nats = connect(&url).await;
    assert!(format!("{nats:?}").contains("connected: true"), "{nats:?}");
    // Any of several will do.
    let gone = Server::start().url();
    works(&format!("{gone}, {url}"), Options::new()).await;
    server.kill();
    let said = fails(&url, Options::new()).await;
    assert!(said.contains("is a server there"), "{said}");

    // One server has no replicas.
    let server = Server::start();
    let nats = connect_with(&server.url(), Options::new().replicas(3)).await;
    let error = nats.create_topic("t", TopicConfig::partitions(1)).await;
    let said = error.unwrap_err().to_string();
    assert!(said.contains("replicas"), "{said}");

    let bare = Server::start_with(&["-c", without_jetstream(&server)]);
    let said = fails(&bare.url(), Options::new()).await;
    assert!(said.contains("nats-server -js"), "{said}");
}

/// An account without JetStream.
fn without_jetstream(server: &Server) -> &'static str {
    let config = server.dir().join("bare.conf");
    let text = "accounts { BARE { users: [ { user: u, password: p } ] } }\nno_auth_user: u";
    std::fs::write(&config, text).unwrap();
    Box::leak(config.to_str().unwrap().into())
}

#[tokio::test]
async fn a_request_may_take_for_ever() {
    need_server!();
    let server = Server::start();
    let options = Options::new().request_timeout(Duration::MAX);
    works(&server.url(), options.clone()).await;
    let nats = connect_with(&server.url(), options).await;
    let config = ConsumerConfig::group("g").session_timeout(Duration::MAX);
    let consumer = nats.consumer(config.ack_wait(Duration::MAX));
    consumer.subscribe(["t"]).await.unwrap();
    for delivery in take(&consumer, 1).await {
        consumer.ack(&delivery).await.unwrap();
    }
    consumer.commit().await.unwrap();
    consumer.seek("t", 0, Start::Earliest).await.unwrap();
    consumer.commit().await.unwrap();
    consumer.close().await.unwrap();
    nats.close().await.unwrap();
}

#[tokio::test]
async fn who_may_not_keep_groups_is_told_what_to_do() {
    need_server!();
    let server = Server::start();
    let file = server.dir().join("rights.conf");
    let rights = r#"authorization { users: [
        { user: all, password: all }
        { user: some, password: some, permissions: {
            publish: { deny: ["$JS.API.STREAM.CREATE.KV_pushpull-groups"] } } }
    ] }"#;
    std::fs::write(&file, rights).unwrap();
    let server = Server::start_with(&["-c", file.to_str().unwrap()]);
    let member = async |user: &str| {
        let options = Options::new().user(user, user);
        let nats = connect_with(
            &server.url(),
            options.request_timeout(Duration::from_secs(2)),
        )
        .await;
        let config = TopicConfig::partitions(1);
        nats.create_topic("t", config).await.unwrap();
        let member = nats.consumer(ConsumerConfig::group("g").session_timeout(SECOND));
        member.subscribe(["t"]).await.unwrap();
        member
    };
    let some = member("some").await;
    let mut events = some.events();
    let said = loop {
        if let Event::Failed(error) = within(LONG, events.next()).await.unwrap() {
            let said = error.to_string();
            if said.contains("bucket") {
                break said;
            }
        }
    };
    assert!(said.contains("nats kv add pushpull-groups"), "{said}");
    // Where it is there, the right is not needed.
    let all = member("all").await;
    all.close().await.unwrap();
    let nats = connect_with(&server.url(), Options::new().user("some", "some")).await;
    nats.producer().push(Record::new("t", "v")).await.unwrap();
    assert_eq!(within(LONG, take(&some, 1)).await[0].record.value, "v");
}
