//! The mapping, on bodies as the libraries themselves send them (Segment's for Python 2.4.0 and Node 3.1.0, PostHog's for
//! Python 7.91.1 and Node 5.70.0), and on what one should not send.

use super::*;
use crate::rules::Incoming;
use angarium_base::json::escape_into;
use segment::Takes;

const RECEIVED: &str = "2026-11-21T11:04:10.000Z";

fn millis(text: &str) -> Millis {
    time::parse(text).unwrap()
}

/// An event and its parameters, or the code of the fault and its place.
type Mapped = Result<(Incoming<'static>, String), (&'static str, String)>;

fn all<'t>(
    mut reader: Reader<'t>,
    mut read: impl FnMut(&mut Reader<'t>, &mut String) -> Result<Result<Incoming<'t>, Fault>, Syntax>,
) -> Vec<Mapped> {
    let mut mapped = Vec::new();
    let mut one = |reader: &mut Reader<'t>| {
        let mut params = String::new();
        let event = read(reader, &mut params)?;
        mapped.push(event.map(|event| (owned(event), params)).map_err(|fault| (fault.code, fault.pointer)));
        Ok(())
    };
    let read = if reader.peek() == Some(Kind::Array) { reader.array(one) } else { one(&mut reader) };
    read.unwrap();
    mapped
}

fn owned(event: Incoming<'_>) -> Incoming<'static> {
    let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    Incoming {
        event_type: owned(event.event_type),
        params: None,
        at: event.at,
        device_id: event.device_id.map(owned),
        id: event.id.map(owned),
        ip: event.ip,
        user_agent: event.user_agent.map(owned),
        no_geoip: event.no_geoip,
    }
}

fn sender(sent_at: Option<Millis>, speaks_for_others: bool) -> Sender<'static> {
    Sender { received_at: millis(RECEIVED), sent_at, speaks_for_others, key: "WK" }
}

fn segment_calls(body: &str, takes: &str, speaks_for_others: bool) -> Vec<Mapped> {
    let takes = Takes::named(takes).unwrap();
    let body = segment::read_body(body, takes).unwrap();
    let sender = sender(body.sent_at, speaks_for_others);
    all(segment::reader(body.calls), |reader, params| segment::read_call(reader, takes, &sender, params))
}

fn posthog_events(body: &str, speaks_for_others: bool) -> Vec<Mapped> {
    let body = posthog::read_body(body).unwrap();
    let sender = sender(body.sent_at, speaks_for_others);
    all(posthog::reader(body.events), |reader, params| posthog::read_event(reader, &sender, params))
}

/// What an event of a test comes to: type, id, device, parameters.
fn shown(mapped: &Mapped) -> [&str; 4] {
    let (event, params) = mapped.as_ref().unwrap();
    [&event.event_type, event.id.as_deref().unwrap_or(""), event.device_id.as_deref().unwrap_or(""), params]
}

#[test]
fn what_segments_library_for_python_sends_is_taken() {
    let context = r#"{"library": {"name": "analytics-python", "version": "2.4.0"}}"#;
    let body = format!(
        r#"{{"batch": [
        {{"integrations": {{}}, "anonymousId": null, "properties": {{"total": 9.5}}, "timestamp": "2026-11-21T11:04:04.959+00:00", "context": {context}, "userId": "u1", "type": "track", "event": "Order Completed", "messageId": "m1"}},
        {{"integrations": {{}}, "anonymousId": "a1", "timestamp": "2026-11-21T11:04:04.959+00:00", "context": {context}, "type": "identify", "userId": null, "traits": {{"email": "x@y"}}, "messageId": "m2"}},
        {{"integrations": {{}}, "anonymousId": null, "properties": {{"url": "http://x"}}, "timestamp": "2026-11-21T11:04:04.959+00:00", "category": "Docs", "context": {context}, "userId": "u1", "type": "page", "name": "Home", "messageId": "m3"}},
        {{"integrations": {{}}, "anonymousId": null, "properties": {{}}, "timestamp": "2026-11-21T11:04:04.959+00:00", "category": "App", "context": {context}, "userId": "u1", "type": "screen", "name": "Main", "messageId": "m4"}},
        {{"integrations": {{}}, "anonymousId": null, "timestamp": "2026-11-21T11:04:04.959+00:00", "groupId": "g1", "context": {context}, "userId": "u1", "traits": {{"n": 1}}, "type": "group", "messageId": "m5"}},
        {{"integrations": {{}}, "previousId": "a1", "timestamp": "2026-11-21T11:04:04.959+00:00", "context": {context}, "userId": "u1", "type": "alias", "messageId": "m6", "anonymousId": null}}
        ], "sentAt": "2026-11-21T11:04:05.459219+00:00", "writeKey": "WK"}}"#
    );
    let read = segment::read_body(&body, Takes::Batch).unwrap();
    assert_eq!(
        (read.write_key.as_deref(), read.sent_at),
        (Some("WK"), time::parse("2026-11-21T11:04:05.459Z"))
    );
    let calls = segment_calls(&body, "batch", false);
    let common = |rest: &str| {
        format!(r#""originalTimestamp":"2026-11-21T11:04:04.959+00:00","integrations":{{}},{rest}"#)
    };
    let of = |first: &str, rest: &str| format!("{{{first}{}}}", common(rest));
    let with_context = |before: &str, after: &str| format!(r#"{before}"context":{context},{after}"#);
    for (call, expected) in calls.iter().zip([
        [
            "Order_Completed",
            "m1",
            "u1",
            &of(r#""event":"Order Completed","#, &with_context("", r#""userId":"u1","total":9.5"#)),
        ],
        ["identify", "m2", "a1", &of("", &with_context(r#""anonymousId":"a1","#, r#""email":"x@y""#))],
        [
            "page",
            "m3",
            "u1",
            &of(
                "",
                &with_context(r#""category":"Docs","#, r#""userId":"u1","name":"Home","url":"http://x""#),
            ),
        ],
        [
            "screen",
            "m4",
            "u1",
            &of("", &with_context(r#""category":"App","#, r#""userId":"u1","name":"Main""#)),
        ],
        ["group", "m5", "u1", &of("", &with_context(r#""groupId":"g1","#, r#""userId":"u1","n":1"#))],
        ["alias", "m6", "u1", &of("", &with_context(r#""previousId":"a1","#, r#""userId":"u1""#))],
    ]) {
        assert_eq!(shown(call), expected);
        // 4,541 ms lie between the two clocks.
        assert_eq!(call.as_ref().unwrap().0.at, time::parse("2026-11-21T11:04:09.500Z"));
    }
    assert_eq!(calls.len(), 6);
}

#[test]
fn what_segments_libraries_for_node_and_browsers_add_is_kept() {
    let body = r#"{"batch":[{"timestamp":"2026-11-21T11:04:06.498Z","integrations":{},"type":"page","properties":{"url":"x","category":"Docs"},"category":"Docs","name":"Home","context":{},"userId":"u1","messageId":"node-next-1","_metadata":{"nodeVersion":"v20.20.2","jsRuntime":"node"}}],"writeKey":"WK","sentAt":"2026-11-21T11:04:06.502Z"}"#;
    let calls = segment_calls(body, "batch", false);
    let params = r#"{"originalTimestamp":"2026-11-21T11:04:06.498Z","integrations":{},"category":"Docs","name":"Home","context":{},"userId":"u1","_metadata":{"nodeVersion":"v20.20.2","jsRuntime":"node"},"url":"x"}"#;
    assert_eq!(shown(&calls[0]), ["page", "node-next-1", "u1", params]);
    let body = r#"{"timestamp":"2026-11-21T11:04:06.498Z","type":"track","event":"Seen","properties":{},"anonymousId":"a1","messageId":"ajs-1","writeKey":"WK","sentAt":"2026-11-21T11:04:09.000Z"}"#;
    let calls = segment_calls(body, "t", false);
    let params = r#"{"event":"Seen","originalTimestamp":"2026-11-21T11:04:06.498Z","anonymousId":"a1"}"#;
    assert_eq!(shown(&calls[0]), ["Seen", "ajs-1", "a1", params]);
    assert_eq!(calls[0].as_ref().unwrap().0.at, time::parse("2026-11-21T11:04:07.498Z"));
}

#[test]
fn paths_name_what_they_take() {
    for (name, takes) in [
        ("track", Some(Takes::One(segment::Kind::Track))),
        ("alias", Some(Takes::One(segment::Kind::Alias))),
        ("s", Some(Takes::One(segment::Kind::Screen))),
        ("b", Some(Takes::Batch)),
        ("import", Some(Takes::Batch)),
        ("tr", None),
        ("", None),
    ] {
        assert_eq!(Takes::named(name), takes, "{name}");
    }
}

#[test]
fn who_and_what_a_call_is_about_is_told_by_several_members() {
    let device = |call: &str| {
        let mapped = segment_calls(call, "track", false);
        mapped[0].as_ref().unwrap().0.device_id.as_deref().unwrap_or("none").to_owned()
    };
    for (call, expected) in [
        (r#"{"event":"x","anonymousId":"a","userId":"u","context":{"device":{"id":"d"}}}"#, "a"),
        (r#"{"event":"x","anonymousId":"","userId":"u","context":{"device":{"id":"d"}}}"#, "d"),
        (r#"{"event":"x","userId":42}"#, "42"),
        (r#"{"event":"x","userId":"u","context":{"device":"x","ip":7}}"#, "u"),
        (r#"{"event":"x","context":[]}"#, "none"),
    ] {
        assert_eq!(device(call), expected, "{call}");
    }
}

#[test]
fn an_address_in_a_call_counts_with_a_secret_key_only() {
    let call = r#"{"event":"x","context":{"ip":"203.0.113.9","userAgent":"Agent/1"}}"#;
    let event = |speaks| segment_calls(call, "track", speaks)[0].as_ref().unwrap().0.clone();
    assert_eq!((event(false).ip, event(false).user_agent), (None, None));
    assert_eq!(event(true).ip, "203.0.113.9".parse().ok());
    assert_eq!(event(true).user_agent.as_deref(), Some("Agent/1"));
    let call = r#"{"event":"x","properties":{"$ip":"203.0.113.9","$raw_user_agent":"Agent/1","$geoip_disable":true}}"#;
    let event = |speaks| posthog_events(call, speaks)[0].as_ref().unwrap().0.clone();
    assert_eq!((event(false).ip, event(false).user_agent, event(false).no_geoip), (None, None, true));
    assert_eq!(event(true).ip, "203.0.113.9".parse().ok());
    assert_eq!(event(true).user_agent.as_deref(), Some("Agent/1"));
}

#[test]
fn a_timestamp_that_nobody_can_read_loses_no_event() {
    let mapped = segment_calls(r#"{"event":"x","timestamp":"yesterday"}"#, "track", false);
    let (event, params) = mapped[0].as_ref().unwrap();
    assert_eq!((event.at, &**params), (None, r#"{"event":"x","originalTimestamp":"yesterday"}"#));
}

#[test]
fn each_fault_of_a_call_has_its_code_and_its_place() {
    let mut long = r#"{"type":"track","event":"x","messageId":"#.to_owned();
    escape_into(&mut long, &"m".repeat(256));
    long.push('}');
    let deep = format!(r#"{{"type":"track","event":"x","context":{}{}}}"#, "[".repeat(32), "]".repeat(32));
    for (call, code, pointer) in [
        ("7", "wrong_type", ""),
        (r#"{"event":"x"}"#, "missing", "/type"),
        (r#"{"type":"charge","event":"x"}"#, "unknown_call", "/type"),
        (r#"{"type":7}"#, "wrong_type", "/type"),
        (r#"{"type":"track"}"#, "missing", "/event"),
        (r#"{"type":"track","event":" "}"#, "invalid_type", "/event"),
        (r#"{"type":"track","event":7}"#, "wrong_type", "/event"),
        (r#"{"type":"track","event":"x","properties":"y"}"#, "wrong_type", "/properties"),
        (r#"{"type":"group","traits":[1]}"#, "wrong_type", "/traits"),
        (r#"{"type":"track","event":"x","userId":{}}"#, "wrong_type", "/userId"),
        (r#"{"type":"track","event":"x","event":"y"}"#, "duplicate_key", "/event"),
        (r#"{"type":"track","event":"x","properties":{"a":"\u0000"}}"#, "nul_character", "/properties/a"),
        (&long, "invalid_length", "/messageId"),
    ] {
        let mapped = segment_calls(&format!(r#"{{"batch":[{call}]}}"#), "batch", false);
        assert_eq!(mapped, [Err((code, pointer.to_owned()))], "{call}");
    }
    let mapped = segment_calls(&format!(r#"{{"batch":[{deep}]}}"#), "batch", false);
    assert_eq!(mapped[0].as_ref().map_err(|(code, _)| *code).err(), Some("too_deep"));
}

#[test]
fn a_body_that_is_no_envelope_is_refused_whole() {
    let segment = |body: &str, takes| match segment::read_body(body, takes) {
        Ok(_) => "",
        Err(error) => error.code().name,
    };
    for (body, code) in [
        ("{\"batch\":[]}", ""),
        ("{}", "invalid_envelope"),
        ("[]", "invalid_envelope"),
        ("{\"batch\":{}}", "invalid_envelope"),
        ("{\"batch\":[],\"batch\":[]}", "invalid_envelope"),
        ("{\"batch\":[NaN]}", "malformed_json"),
        ("{\"batch\":[]} x", "malformed_json"),
        ("", "malformed_json"),
    ] {
        assert_eq!(segment(body, Takes::Batch), code, "{body}");
    }
    let posthog = |body: &str| match posthog::read_body(body) {
        Ok(_) => "",
        Err(error) => error.code().name,
    };
    for (body, code) in [
        ("[]", ""),
        ("{}", ""),
        ("7", "invalid_envelope"),
        ("{\"batch\":[],\"batch\":[]}", "invalid_envelope"),
        ("[{]", "malformed_json"),
        ("[] []", "malformed_json"),
    ] {
        assert_eq!(posthog(body), code, "{body}");
    }
}

#[test]
fn a_pixels_query_is_a_call() {
    let (key, call) =
        segment::call_in_query("writeKey=WK&anonymousId=a1&event=Mail+Opened&properties.n=%22&n=2").unwrap();
    assert_eq!(key.as_deref(), Some("WK"));
    assert_eq!(call, r#"{"anonymousId":"a1","event":"Mail Opened","n":"2","properties":{"n":"\""}}"#);
    let mapped = segment_calls(&call, "track", false);
    let params = r#"{"event":"Mail Opened","anonymousId":"a1","n":"2","properties.n":"\""}"#;
    assert_eq!(shown(&mapped[0]), ["Mail_Opened", "", "a1", params]);
    assert_eq!(segment::call_in_query("").unwrap().1, "{}");
    assert_eq!(segment::call_in_query("a=%ff").unwrap_err().code().name, "invalid_query");
}

#[test]
fn what_posthogs_libraries_for_servers_send_is_taken() {
    let body = r#"{"batch": [{"properties": {"total": 1, "$lib": "posthog-python", "$geoip_disable": true}, "timestamp": "2026-11-21T11:04:06.260430+00:00", "distinct_id": "u1", "event": "Order Completed", "uuid": "e1"}, {"timestamp": "2026-11-21T11:04:06.260733+00:00", "distinct_id": "u1", "$set": {"email": "x"}, "event": "$set", "properties": {"$geoip_disable": true}, "uuid": "e2"}], "historical_migration": false, "sent_at": "2026-11-21T11:04:10.000000+00:00", "api_key": "WK"}"#;
    assert_eq!(posthog::read_body(body).unwrap().keys, [("`api_key` in the body", "WK".into())]);
    let events = posthog_events(body, false);
    for (event, expected) in events.iter().zip([
        ["Order_Completed", "e1", "u1", r#"{"event":"Order Completed","timestamp":"2026-11-21T11:04:06.260430+00:00","distinct_id":"u1","total":1,"$lib":"posthog-python","$geoip_disable":true}"#],
        ["$set", "e2", "u1", r#"{"event":"$set","timestamp":"2026-11-21T11:04:06.260733+00:00","distinct_id":"u1","$set":{"email": "x"},"$geoip_disable":true}"#],
    ]) {
        assert_eq!(shown(event), expected);
        let event = &event.as_ref().unwrap().0;
        assert_eq!((event.at, event.no_geoip), (time::parse("2026-11-21T11:04:06.260Z"), true));
    }
    assert_eq!(events.len(), 2);
}

#[test]
fn what_posthogs_library_for_browsers_sends_is_taken() {
    let one = r#"{"uuid":"e1","event":"$pageview","properties":{"token":"WK","distinct_id":"a1","$current_url":"x"},"offset":1500}"#;
    for body in [one.to_owned(), format!("[{one}]"), format!(r#"{{"batch":[{one}]}}"#)] {
        let keys = posthog::read_body(&body).unwrap().keys;
        assert_eq!(keys, [("`token` among the properties", "WK".into())], "{body}");
        let events = posthog_events(&body, false);
        let params = r#"{"event":"$pageview","offset":1500,"distinct_id":"a1","$current_url":"x"}"#;
        assert_eq!(shown(&events[0]), ["$pageview", "e1", "a1", params]);
        assert_eq!(events[0].as_ref().unwrap().0.at, time::parse("2026-11-21T11:04:08.500Z"));
    }
}

#[test]
fn when_a_request_was_sent_is_said_in_several_places() {
    let at = |body: &str| posthog_events(body, false)[0].as_ref().unwrap().0.at;
    // Both an hour behind.
    let event =
        r#"{"event":"e","timestamp":"2026-11-21T10:04:09.000Z","sent_at":"2026-11-21T10:04:10.000Z"}"#;
    for body in [event.to_owned(), format!("[{event}]"), format!(r#"{{"batch":[{event}]}}"#)] {
        assert_eq!(at(&body), time::parse("2026-11-21T11:04:09.000Z"), "{body}");
    }
    for (query, sent_at) in [
        ("ip=0&_=1795259046000&ver=1", Some(1_795_259_046_000)),
        ("sent_at=1795259046000", Some(1_795_259_046_000)),
        ("_=soon", None),
        ("", None),
    ] {
        assert_eq!(posthog::read_query(query).unwrap().sent_at, sent_at, "{query}");
    }
    assert_eq!(posthog::read_query("token=a&api_key=b").unwrap().keys, ["a", "b"]);
}

#[test]
fn an_event_goes_where_its_request_goes() {
    let body = r#"[{"event":"a","api_key":"WK","token":""},{"event":"b","token":"other"},{"event":"c","properties":{"token":"other"}}]"#;
    let events = posthog_events(body, false);
    assert_eq!(shown(&events[0])[3], r#"{"event":"a"}"#);
    assert_eq!(events[1], Err(("other_key", "/token".into())));
    // Not a key of ours, hence a parameter like any other.
    assert_eq!(shown(&events[2])[3], r#"{"event":"c","token":"other"}"#);
}

#[test]
fn events_come_as_json_or_in_a_form() {
    let text = |sent: &str| posthog::document(sent).map(|d| (d.text.into_owned(), d.keys));
    let json = r#"{"event":"é?>"}"#;
    let base64 = "eyJldmVudCI6IsOpPz4ifQ==";
    for sent in [
        json.to_owned(),
        format!(" {json}"),
        format!("data={base64}"),
        format!("data={}", base64.trim_end_matches('=')),
        format!("compression=base64&data={}", base64.replace('=', "%3D")),
        "data=%7B%22event%22%3A%22%C3%A9%3F%3E%22%7D".to_owned(),
    ] {
        assert_eq!(text(&sent).unwrap().0.trim(), json, "{sent}");
    }
    assert_eq!(text(&format!("data={base64}&api_key=WK")).unwrap().1, ["WK"]);
    for sent in ["", "data=", "data=%", "event=x", "hello"] {
        assert_eq!(text(sent).unwrap_err().code().name, "invalid_envelope", "{sent}");
    }
}

#[test]
fn names_become_types() {
    for (name, event_type) in [
        ("Order Completed", "Order_Completed"),
        ("$pageview", "$pageview"),
        (" Level\tUp\n", "Level_Up"),
        ("a  b", "a__b"),
        ("Größe\u{a0}x\u{7f}", "Größe_x_"),
    ] {
        assert_eq!(type_of(&Cow::Borrowed(name)).unwrap(), event_type, "{name:?}");
        assert_eq!(type_of(&Cow::Owned(name.to_owned())).unwrap(), event_type, "{name:?}");
    }
    for name in ["", "  ", &"x".repeat(256)] {
        assert_eq!(type_of(&Cow::Borrowed(name)).unwrap_err().code, "invalid_type", "{name:?}");
    }
}

#[test]
fn instants_are_read_as_libraries_write_them() {
    let noon = time::parse("2026-01-31T12:00:00Z");
    for (text, expected) in [
        (r#""2026-01-31T12:00:00.000Z""#, noon),
        (r#""2026-01-31T12:00:00.000000+00:00""#, noon),
        (r#""2026-01-31T13:00:00+01:00""#, noon),
        (r#""2026-01-31T12:00:00""#, noon),
        (r#""2026-01-31 12:00:00""#, noon),
        (r#""2026-01-31""#, time::parse("2026-01-31T00:00:00Z")),
        (r#""yesterday""#, None),
        ("12", None),
    ] {
        let value = Reader::new(text, JSON_LIMITS).value().unwrap();
        assert_eq!(instant(&value), expected, "{text}");
    }
}

#[test]
fn a_clock_that_is_wrong_is_corrected_by_when_it_says_it_sent() {
    let sender = Sender { received_at: 10_000, sent_at: None, speaks_for_others: false, key: "" };
    for (at, sent_at, corrected) in [
        (1_000, None, 1_000),
        (1_000, Some(10_000), 1_000),
        (1_000, Some(2_000), 9_000),
        (1_000, Some(70_000), -59_000),
        (i64::MAX, Some(0), i64::MAX),
    ] {
        assert_eq!(sender.corrected(at, sent_at), corrected);
    }
}
