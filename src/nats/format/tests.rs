use proptest::prelude::*;

use super::*;

/// The headers as the wire has them, and as the client reads them from there.
fn over_the_wire(map: &HeaderMap) -> (String, HeaderMap) {
    let mut wire = String::from("NATS/1.0\r\n");
    for (name, values) in map.iter() {
        for value in values {
            let _always = write!(wire, "{name}: {value}\r\n");
        }
    }
    let mut read = HeaderMap::new();
    for line in wire.lines().skip(1) {
        let (name, value) = line.split_once(':').expect("a name and a value");
        assert!(!name.is_empty());
        read.append(name, value.trim());
    }
    (wire, read)
}

fn made() -> String {
    made_id("m4k3r", 7)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{0,3}",
        "[a-c %,=:\r\n\t\0é-]{0,6}",
        "(x|)(N|n)ats-(Msg-Id|Rollup|)(: 1|)",
        "(p|P)ushpull(-|:|=)[a-z%]{0,3}",
        ".{0,4}",
    ]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        text().prop_map(Bytes::from),
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(Bytes::from),
    ]
}

proptest! {
    #[test]
    fn a_record_comes_back_as_it_was(
        key in proptest::option::of(bytes()),
        id in proptest::option::of(text()),
        partition in proptest::option::of(any::<u32>()),
        headers in proptest::collection::vec((text(), bytes()), 0..6),
        value in bytes(),
    ) {
        let mut record = Record::new("t", value.clone());
        (record.key, record.id) = (key, id);
        (record.partition, record.headers) = (partition, headers);
        let (wire, read) = over_the_wire(&encode(&record, made));
        prop_assert_eq!(decode("t".into(), Some(&read), value), record);
        // The server finds the id, and nothing else that it knows, wherever the order of a hash puts them.
        prop_assert_eq!(wire.to_ascii_lowercase().matches("nats-").count(), 1, "{}", wire);
        prop_assert_eq!(wire.matches("\r\nNats-Msg-Id: ").count(), 1, "{}", wire);
    }

    #[test]
    fn different_ids_stay_different(one in text(), two in text()) {
        let id = |id: &str| {
            let map = encode(&Record::new("t", "").id(id), made);
            map.get(ID).map(|id| id.as_str().to_owned())
        };
        prop_assert_eq!(id(&one) == id(&two), one == two);
        prop_assert_ne!(id(&one), Some(made()));
    }

    #[test]
    fn whatever_another_program_writes_is_read(
        headers in proptest::collection::vec(
            ("(a|b|Nats-Msg-Id|Nats-Rollup|Pushpull-(Key|Key-Encoded|Partition|Headers))", "[a-c%=,0-9F]{0,6}"),
            0..6,
        ),
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in &headers {
            map.append(name.as_str(), value.as_str());
        }
        let record = decode("t".into(), Some(&map), Bytes::new());
        // Nothing of the application's is lost, whatever the rest says.
        for (name, value) in headers.iter().filter(|(name, _)| is_own_name(name)) {
            let found = record.headers.iter().any(|(known, bytes)| known == name && bytes == value);
            prop_assert!(found, "{:?}", record);
        }
    }
}

#[test]
fn what_can_be_is_plain() {
    let record = Record::new("t", "v").key("alice").id("order-7");
    let record = record.header("source", "web").header("source", "a shop");
    let map = encode(&record, made);
    assert_eq!(map.len(), 3);
    assert_eq!(map.get("Pushpull-Key").unwrap().as_str(), "alice");
    assert_eq!(map.get("Nats-Msg-Id").unwrap().as_str(), "order-7");
    let sources: Vec<_> = map.get_all("source").map(|value| value.as_str()).collect();
    assert_eq!(sources, ["web", "a shop"]);

    // Different names need their order; what is not plain is there and only there.
    let map = encode(
        &record
            .header("raw", &b"\0"[..])
            .header("Nats-Rollup", "all"),
        made,
    );
    let order = map.get("Pushpull-Headers").unwrap().as_str();
    assert_eq!(order, "source,source,raw=%00,Nats%2DRollup=all");
    assert_eq!(
        (map.len(), map.get("raw"), map.get("Nats-Rollup")),
        (4, None, None)
    );

    let map = encode(&Record::new("t", "v"), made);
    assert_eq!(map.get("Nats-Msg-Id").unwrap().as_str(), "pushpull:m4k3r:7");
    assert_eq!(map.len(), 1);
}

#[test]
fn a_message_without_headers_is_a_bare_record() {
    let record = decode("t".into(), None, Bytes::from_static(b"v"));
    assert_eq!(record, Record::new("t", "v"));
}
