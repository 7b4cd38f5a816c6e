//! The line that consumers read is one line of three fields, whatever was sent, and decodes back to it.

use angarium_suite::{GUARD, World};
use serde_json::json;
use std::process::Stdio;
use tokio::process::Command;

/// Names and values that could break a line, or a reader of one.
const HARD: [(&str, &str); 9] = [
    ("plain", "value"),
    ("a space", "two  spaces and a tab\t"),
    ("a\nline", "two\r\nlines\n"),
    ("a&b", "c&d=e"),
    ("a=b", "=="),
    ("50%", "100%41 + 1"),
    ("😀", "né😀\u{2028}\u{85}"),
    ("", "no name"),
    ("no value", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_consumers_line_is_one_line_of_three_fields_that_decodes_to_what_was_sent() {
    let world = World::start().await;
    let query: String = HARD.map(|(name, value)| format!("{}={}", encode(name), encode(value))).join("&");
    let called = world.open(&format!("/t/sm%C3%B6rg%C3%A5s&b=r%C3%A5d?{query}")).await;
    assert_eq!(called.status, 204, "{}", called.text());
    let params: serde_json::Map<_, _> =
        HARD.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let event = json!({"type": "smörgås&b=råd", "params": params});
    assert_eq!(world.post("/events", "application/json", event.to_string()).await.status, 202);
    let others =
        r#"{"type":"others","params":{"n": 1.50, "o": {"k": [1, "x \" y\n"]}, "z": null, "t": true}}"#;
    assert_eq!(world.post("/events", "application/json", others).await.status, 202);
    let plus = world.open("/t/plus?a=1+2&a=3&%20=%&b").await;
    assert_eq!(plus.status, 204, "{}", plus.text());

    let lines = consume(&world).await;
    let [called, posted, others, plus] = &lines[..] else {
        panic!("four events, and these lines: {lines:#?}")
    };
    let hard: Vec<(String, String)> = HARD.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let mut sorted = hard.clone();
    sorted.sort();
    assert_eq!(fields(called)[2], query, "as it was sent");
    assert_eq!(decode_pairs(fields(called)[2]), hard);
    let mut from_json = decode_pairs(fields(posted)[2]);
    from_json.sort();
    assert_eq!(from_json, sorted);
    for line in [called, posted] {
        assert_eq!(decode(fields(line)[0]), "smörgås&b=råd");
    }
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        decode_pairs(fields(others)[2]),
        [pair("n", "1.50"), pair("o", r#"{"k":[1,"x \" y\n"]}"#), pair("z", ""), pair("t", "true")]
    );
    assert_eq!(fields(plus)[2], "a=1+2&a=3&%20=%&b");
    let names: Vec<String> = decode_pairs(fields(plus)[1]).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.join(" "), "type browser engine version os host ts ip klag country city");
}

/// What `angarium consume --format line` prints.
async fn consume(world: &World) -> Vec<String> {
    let mut command = Command::from(world.command(&["consume", "--format", "line", "--group", "lines"]));
    let running = command.stdout(Stdio::piped()).kill_on_drop(true).output();
    let output = tokio::time::timeout(GUARD, running).await.expect("it ends").expect("it starts");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("it is ASCII");
    assert!(text.bytes().all(|byte| byte == b'\n' || byte == b' ' || byte.is_ascii_graphic()), "{text:?}");
    text.lines().map(str::to_owned).collect()
}

fn fields(line: &str) -> [&str; 3] {
    let fields: Vec<&str> = line.split(' ').collect();
    fields.try_into().unwrap_or_else(|fields| panic!("not three fields: {fields:?}"))
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn decode_pairs(query: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    };
    query.split('&').map(pair).collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut pieces = text.split('%');
    bytes.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        bytes.push(u8::from_str_radix(&piece[..2], 16).expect("two hexadecimal digits"));
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).expect("UTF-8")
}
