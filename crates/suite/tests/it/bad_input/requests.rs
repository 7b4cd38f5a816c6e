//! Requests whose path, query, key or headers are bad.

use super::{Case, Expected, JSON, good, wire::Wire};
use angarium_suite::World;

type Row = (&'static str, Wire, Expected);

pub fn cases(world: &World) -> impl Iterator<Item = Case> {
    let rows: [fn(&World) -> Vec<Row>; 7] =
        [tracking_calls, parameters, groups, unknown_places, nobody, wrong_role, headers];
    let rows = rows.into_iter().flat_map(move |rows| rows(world));
    rows.map(|(name, wire, expected)| Case { name: name.into(), wire, expected, kept: &[] })
}

fn tracking_calls(_: &World) -> Vec<Row> {
    let bad_type = || Expected::Problem(400, "invalid_type", "");
    let bad_query = |place| Expected::Problem(400, "invalid_query", place);
    let unsupported = || Expected::Problem(415, "unsupported_media_type", "form body");
    let get = |target: &str| Wire::head("GET", target, &[]);
    let post = |kind: &str, body: &[u8]| {
        let length = format!("Content-Length: {}", body.len());
        Wire::head("POST", "/t/bad", &[&format!("Content-Type: {kind}"), &length]).with(body)
    };
    let form = |body: &[u8]| post("application/x-www-form-urlencoded", body);
    let many: String = (0..1_001).map(|n| format!("a{n}=1&")).collect();
    let long = |bytes: usize| format!("a={}", "x".repeat(bytes - 2));
    vec![
        ("no type", get("/t/"), Expected::Problem(404, "not_found", "")),
        ("no type and parameters", get("/t/?a=1"), Expected::Problem(404, "not_found", "")),
        ("not even a slash", get("/t"), Expected::Problem(404, "not_found", "")),
        ("a NUL for a type", get("/t/%00"), bad_type()),
        ("a NUL in a type", get("/t/bad%00bad"), bad_type()),
        ("a type that is not UTF-8", get("/t/%ff"), bad_type()),
        ("a type with an overlong encoding", get("/t/%c0%af"), bad_type()),
        ("a type that is not percent-encoded", get("/t/%zz"), bad_type()),
        ("a type with half a percent-encoding", get("/t/bad%4"), bad_type()),
        ("a type with a space", get("/t/a%20b"), bad_type()),
        ("a type with a newline", get("/t/a%0Ab"), bad_type()),
        ("a type with a carriage return", get("/t/a%0d%0aSet-Cookie:x"), bad_type()),
        ("a type of two segments", get("/t/bad/bad"), bad_type()),
        ("a type that goes up", get("/t/../v1"), bad_type()),
        ("a type of an empty segment", get("/t//"), bad_type()),
        ("a type of 256 characters by call", get(&format!("/t/{}", "x".repeat(256))), bad_type()),
        ("a value that is not UTF-8", get("/t/bad?ok=1&city=%ff"), bad_query("`city`")),
        ("a name that is not UTF-8", get("/t/bad?%ff=1"), bad_query("%ff")),
        ("a value with NUL", get("/t/bad?ok=1&city=a%00b"), bad_query("`city`")),
        ("a name with NUL", get("/t/bad?a%00=1"), bad_query("%00")),
        ("1,001 parameters", get(&format!("/t/bad?{many}")), bad_query("1000 parameters")),
        (
            "parameters too long by form",
            form(long((64 << 10) + 1).as_bytes()),
            Expected::Problem(413, "event_too_large", "65536 bytes"),
        ),
        ("1,001 parameters by form", form(many.as_bytes()), bad_query("1000 parameters")),
        ("100,000 parameters by form", form(&b"a&".repeat(32_000)), bad_query("1000 parameters")),
        ("a form that is not UTF-8", form(b"a=\xff"), bad_query("UTF-8")),
        ("a form that is not UTF-8 once decoded", form(b"a=%ff"), bad_query("`a`")),
        ("JSON to a tracking call", post("application/json", b"{\"a\":1}"), unsupported()),
        ("parts to a tracking call", post("multipart/form-data; boundary=x", b"--x--"), unsupported()),
        (
            "an unknown write key",
            get("/t/bad?write_key=ang_wk_x"),
            Expected::Problem(401, "unauthenticated", ""),
        ),
        ("an empty write key", get("/t/bad?write_key="), Expected::Problem(401, "unauthenticated", "")),
        (
            "an unknown key in a header",
            Wire::head("GET", "/t/bad", &["Authorization: Bearer x"]),
            Expected::Problem(401, "unauthenticated", ""),
        ),
        (
            "Basic that is not base 64",
            Wire::head("GET", "/t/bad", &["Authorization: Basic *"]),
            Expected::Problem(401, "unauthenticated", ""),
        ),
        (
            "a method that tracking calls do not have",
            Wire::head("PUT", "/t/bad", &[]),
            Expected::Problem(405, "method_not_allowed", ""),
        ),
        (
            "a URI longer than there may be",
            get(&format!("/t/bad?{}", long(70_000))),
            Expected::Bare(&[414, 431]),
        ),
        (
            "a URI with bytes that are not UTF-8",
            Wire::bytes(&b"GET /t/bad\xff?a=\xff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"[..]),
            Expected::Bare(&[400]),
        ),
        ("a URI with a raw space", get("/t/bad?a=b c"), Expected::Bare(&[400])),
    ]
}

fn parameters(world: &World) -> Vec<Row> {
    let get = |rest: &str| Wire::get(world, rest);
    let bad = |place| Expected::Problem(422, "invalid_parameter", place);
    let bad_cursor = || Expected::Problem(422, "invalid_cursor", "");
    let records = |query: &str| get(&format!("/streams/events/records?{query}"));
    vec![
        ("an unknown parameter of the list", get("/events?offset=5"), bad("`offset`")),
        ("an unknown parameter of the counts", get("/events/stats?group=type"), bad("`group`")),
        ("an unknown parameter of the streams", get("/streams?stream=events"), bad("`stream`")),
        ("an unknown parameter of the records", records("cursor=x"), bad("`cursor`")),
        ("an unknown parameter of the feed", get("/live?stream=events"), bad("`stream`")),
        (
            "an unknown parameter of events that are sent",
            Wire::post(world, "/events?atomc=true", &[JSON], b"[]"),
            bad("`atomc`"),
        ),
        ("a misspelt parameter in capitals", get("/events?Limit=5"), bad("`Limit`")),
        ("a parameter twice in a query", get("/events?limit=5&limit=5"), bad("`limit`")),
        ("a query that is not percent-encoded", get("/events?type=%zz"), bad("hexadecimal")),
        ("a query that is not UTF-8", get("/events?type=%ff"), bad("UTF-8")),
        ("no limit at all", get("/events?limit=0"), bad("from 1 to 1000")),
        ("a limit too large", records("limit=1001"), bad("from 1 to 1000")),
        ("a negative limit", get("/events?limit=-1"), bad("`limit`")),
        ("a limit in words", records("limit=all"), bad("`limit`")),
        ("a limit with a fraction", get("/events?limit=1.5"), bad("`limit`")),
        ("a limit beyond any number", records("limit=99999999999999999999"), bad("`limit`")),
        ("a wait in words", records("wait=long"), bad("`wait`")),
        ("a wait in weeks", records("wait=1w"), bad("`wait`")),
        ("a wait too long", records("wait=61s"), bad("at most 60 s")),
        ("a negative wait", records("wait=-1s"), bad("`wait`")),
        ("a wait beyond any number", records("wait=99999999999999999d"), bad("`wait`")),
        ("an instant in a query in words", get("/events?from=yesterday"), bad("`from`")),
        ("an instant in a query without an offset", get("/events?to=2026-01-31T12:00:00"), bad("`to`")),
        ("counts by something else", get("/events/stats?by=country"), bad("by=type")),
        ("a step of seconds", get("/events/stats?step=30s"), bad("`step`")),
        ("no step", get("/events/stats?step=0m"), bad("`step`")),
        ("a step too long", get("/events/stats?step=2d"), bad("`step`")),
        (
            "a time that ends before it begins",
            get("/events/stats?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"),
            bad("`from`"),
        ),
        ("perhaps atomic", Wire::post(world, "/events?atomic=perhaps", &[JSON], b"[]"), bad("`atomic`")),
        ("a cursor of another kind", get("/events?after=12"), bad_cursor()),
        ("a cursor that nobody gave out", records("after=cevents-"), bad_cursor()),
        ("a cursor in capitals", records("after=CEVENTS-1"), bad_cursor()),
        ("a cursor that overflows", records("after=cevents-zzzzzzzzzzzzz"), bad_cursor()),
        ("a cursor with a sign", records("after=cevents-%2B1"), bad_cursor()),
        ("a cursor with NUL", records("after=cevents-1%00"), bad_cursor()),
        ("a cursor of another stream", records("after=cmessages-1"), bad_cursor()),
        ("a cursor of another stream for the list", get("/events?after=cmessages-1"), bad_cursor()),
        ("a cursor of another stream for the feed", get("/live?after=cmessages-1"), bad_cursor()),
        ("a cursor beyond the end", records("after=cevents-zzzzzzzz"), bad_cursor()),
        ("a cursor beyond the end for the list", get("/events?after=cevents-zzzzzzzz"), bad_cursor()),
        ("a cursor beyond the end for the feed", get("/live?after=cevents-zzzzzzzz"), bad_cursor()),
        (
            "a key in the query of events that are sent",
            Wire::post(world, "/events?write_key=x", &[JSON], b"[]"),
            bad("`write_key`"),
        ),
        ("a very long cursor", records(&format!("after=c{}", "events-1-".repeat(1_000))), bad_cursor()),
        (
            "a Last-Event-ID that is no cursor",
            Wire::open(world, "GET", "/live", &["Accept: text/event-stream", "Last-Event-ID: 17"]),
            bad_cursor(),
        ),
        (
            "a feed of too many streams",
            get(&format!("/live?streams=events{}", ",events".repeat(16))),
            bad("at most 16"),
        ),
        (
            "a feed of an unknown stream",
            get("/live?streams=events,evnts"),
            Expected::Problem(404, "not_found", "events"),
        ),
        (
            "a feed that is asked for without a way to send it",
            get("/live"),
            Expected::Problem(415, "unsupported_media_type", "text/event-stream"),
        ),
        (
            "a feed that is asked for as JSON",
            Wire::open(world, "GET", "/live", &["Accept: application/json"]),
            Expected::Problem(415, "unsupported_media_type", "WebSocket"),
        ),
        (
            "a WebSocket of an old version",
            Wire::open(
                world,
                "GET",
                "/live",
                &[
                    "Upgrade: websocket",
                    "Sec-WebSocket-Version: 8",
                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
                ],
            ),
            Expected::Problem(415, "unsupported_media_type", "WebSocket"),
        ),
    ]
}

fn groups(world: &World) -> Vec<Row> {
    let post = |rest: &str, body: &str| {
        Wire::post(world, &format!("/streams/events/groups/{rest}"), &[JSON], body.as_bytes())
    };
    let malformed = |place| Expected::Problem(400, "malformed_body", place);
    let invalid = |place| Expected::Problem(422, "invalid_parameter", place);
    vec![
        ("a poll that is not JSON", post("g/poll", "{"), malformed("line 1")),
        ("a poll with a million levels", post("g/poll", &"[".repeat(1_000_000)), invalid("")),
        ("a poll with something behind it", post("g/poll", "{} {}"), malformed("line 1")),
        ("a poll that is an array", post("g/poll", "[]"), invalid("")),
        ("a poll with an unknown member", post("g/poll", r#"{"maximum":5}"#), invalid("maximum")),
        ("a poll with a member twice", post("g/poll", r#"{"max":5,"max":6}"#), invalid("max")),
        ("a poll for words", post("g/poll", r#"{"max":"all"}"#), invalid("")),
        ("a poll for nothing", post("g/poll", r#"{"max":0}"#), invalid("`max`")),
        ("a poll for too much", post("g/poll", r#"{"max":10001}"#), invalid("`max`")),
        ("a poll that waits too long", post("g/poll", r#"{"wait":"2m"}"#), invalid("`wait`")),
        ("a poll that waits for yes", post("g/poll", r#"{"wait":true}"#), invalid("wait")),
        ("a poll that waits in words", post("g/poll", r#"{"wait":"long"}"#), invalid("`wait`")),
        ("a consumer with a space", post("g/poll", r#"{"consumer":"a b"}"#), invalid("consumer")),
        ("a group with a space", post("a%20b/poll", "{}"), invalid("group")),
        ("a group of 101 characters", post(&format!("{}/poll", "g".repeat(101)), "{}"), invalid("group")),
        ("a group that is not UTF-8", post("%ff/poll", "{}"), Expected::Problem(404, "not_found", "")),
        ("a poll with an unknown parameter", post("g/poll?max=5", "{}"), invalid("`max`")),
        ("a commit with an unknown parameter", post("g/commit?cursor=x", "{}"), invalid("`cursor`")),
        ("a commit of nothing", post("g/commit", ""), invalid("cursor")),
        ("a commit of a number", post("g/commit", r#"{"cursor":5}"#), invalid("")),
        (
            "a commit of no cursor",
            post("g/commit", r#"{"cursor":"5"}"#),
            Expected::Problem(422, "invalid_cursor", ""),
        ),
        (
            "a commit of another stream's cursor",
            post("g/commit", r#"{"cursor":"cmessages-1"}"#),
            Expected::Problem(422, "invalid_cursor", ""),
        ),
        (
            "a commit beyond the end",
            post("g/commit", r#"{"cursor":"cevents-zzzzzzzz"}"#),
            Expected::Problem(409, "commit_out_of_range", ""),
        ),
        (
            "a poll in CSV",
            Wire::post(world, "/streams/events/groups/g/poll", &["Content-Type: text/csv"], b"{}"),
            Expected::Problem(415, "unsupported_media_type", "application/json"),
        ),
        (
            "a group that is not there",
            Wire::get(world, "/streams/events/groups/nobody"),
            Expected::Problem(404, "not_found", "group"),
        ),
        (
            "deleting a group that is not there",
            Wire::open(world, "DELETE", "/streams/events/groups/nobody", &[]),
            Expected::Problem(404, "not_found", "group"),
        ),
    ]
}

fn unknown_places(world: &World) -> Vec<Row> {
    let not_found = || Expected::Problem(404, "not_found", "");
    let no_method = || Expected::Problem(405, "method_not_allowed", "Allow");
    let key = format!("Authorization: Bearer {}", world.secret_key());
    let get = |target: &str| Wire::head("GET", target, &[&key]);
    vec![
        ("an unknown path", get("/nowhere"), not_found()),
        ("an unknown path of the API", get("/v1/nowhere"), not_found()),
        ("an unknown thing of the app", Wire::get(world, "/nowhere"), not_found()),
        ("a path with a slash too many", Wire::get(world, "/events/"), not_found()),
        ("a path that goes up", get("/v1/apps/../apps"), not_found()),
        ("an unknown app", get("/v1/apps/nobody/events"), not_found()),
        ("an unknown app by an id", get("/v1/apps/app_01ARZ3NDEKTSV4RRFFQ69G5FAV/events"), not_found()),
        ("an unknown app by a bundle id", get("/v1/apps/com.acme.shop/events"), not_found()),
        ("an app that is not UTF-8", get("/v1/apps/%ff/events"), not_found()),
        (
            "an app that is not UTF-8, for events that are sent",
            Wire::head("POST", "/v1/apps/%ff/events", &[&key, JSON, "Content-Length: 2"]).with(b"{}"),
            not_found(),
        ),
        (
            "an app with NUL, for events that are sent",
            Wire::head("POST", "/v1/apps/%00/events", &[&key, JSON, "Content-Length: 2"]).with(b"{}"),
            not_found(),
        ),
        (
            "an unknown app, for events that are sent",
            Wire::head("POST", "/v1/apps/nobody/events", &[&key, JSON, "Content-Length: 2"]).with(b"{}"),
            not_found(),
        ),
        ("an app with NUL", get("/v1/apps/%00/events"), not_found()),
        ("an unknown stream", Wire::get(world, "/streams/evnts/records"), not_found()),
        ("a stream with NUL", Wire::get(world, "/streams/%00/records"), not_found()),
        ("a stream that is not UTF-8", Wire::get(world, "/streams/%ff/records"), not_found()),
        ("a feed of a stream with NUL", Wire::get(world, "/live?streams=%00"), not_found()),
        ("a group with NUL", Wire::get(world, "/streams/events/groups/%00"), not_found()),
        (
            "deleting a group with NUL",
            Wire::open(world, "DELETE", "/streams/events/groups/%00", &[]),
            not_found(),
        ),
        (
            "an unknown stream's group",
            Wire::post(world, "/streams/evnts/groups/g/poll", &[JSON], b"{}"),
            not_found(),
        ),
        ("a method that events do not have", Wire::open(world, "DELETE", "/events", &[]), no_method()),
        (
            "a method that records do not have",
            Wire::post(world, "/streams/events/records", &[JSON], b"{}"),
            no_method(),
        ),
        ("a method that polls do not have", Wire::get(world, "/streams/events/groups/g/poll"), no_method()),
        ("a method that the feed does not have", Wire::post(world, "/live", &[JSON], b"{}"), no_method()),
        ("a method that nobody has", Wire::open(world, "BREW", "/events", &[]), no_method()),
    ]
}

fn nobody(world: &World) -> Vec<Row> {
    let events = format!("/v1/apps/{}/events", world.app());
    let with = |header: &str| Wire::head("GET", &events, &[header]);
    let unknown = || Expected::Problem(401, "unauthenticated", "");
    let says_how = || Expected::Problem(401, "unauthenticated", "Bearer");
    let secret = world.secret_key();
    let length = format!("Content-Length: {}", good(0).len());
    let post = |more: &[&str]| {
        Wire::head("POST", &events, &[&[JSON, &*length], more].concat()).with(good(0).as_bytes())
    };
    vec![
        ("no key", Wire::head("GET", &events, &[]), says_how()),
        ("no key for events that are sent", post(&[]), says_how()),
        ("an unknown key for events that are sent", post(&["Authorization: Bearer ang_wk_x"]), unknown()),
        ("an unknown key", with("Authorization: Bearer ang_sk_x"), unknown()),
        (
            "a key that is cut off",
            with(&format!("Authorization: Bearer {}", &secret[..secret.len() - 1])),
            unknown(),
        ),
        ("a key in capitals", with(&format!("Authorization: Bearer {}", secret.to_uppercase())), unknown()),
        ("a key without a scheme", with(&format!("Authorization: {secret}")), says_how()),
        ("a scheme without a key", with("Authorization: Bearer"), says_how()),
        ("an empty key", with("Authorization: Bearer  "), unknown()),
        ("an empty header", with("Authorization:"), says_how()),
        ("another scheme", with(&format!("Authorization: Digest {secret}")), says_how()),
        ("Basic where it is not taken", with("Authorization: Basic YTo="), says_how()),
        ("a key that is no text", with("Authorization: Bearer caf\u{e9}"), says_how()),
        ("a very long key", with(&format!("Authorization: Bearer {}", "x".repeat(50_000))), unknown()),
        ("no key for an unknown app", Wire::head("GET", "/v1/apps/nobody/events", &[]), says_how()),
        (
            "no key for the feed",
            Wire::head("GET", &events.replace("/events", "/live"), &["Accept: text/event-stream"]),
            says_how(),
        ),
    ]
}

fn wrong_role(world: &World) -> Vec<Row> {
    let write = format!("Authorization: Bearer {}", world.write_key());
    let ask =
        |method: &str, rest: &str| Wire::head(method, &format!("/v1/apps/{}{rest}", world.app()), &[&write]);
    let forbidden = || Expected::Problem(403, "forbidden", "ingest");
    vec![
        ("a write key for the list", ask("GET", "/events"), forbidden()),
        ("a write key for the counts", ask("GET", "/events/stats"), forbidden()),
        ("a write key for the streams", ask("GET", "/streams"), forbidden()),
        ("a write key for the records", ask("GET", "/streams/events/records"), forbidden()),
        ("a write key for a group", ask("GET", "/streams/events/groups/g"), forbidden()),
        ("a write key for a poll", ask("POST", "/streams/events/groups/g/poll"), forbidden()),
        ("a write key for a commit", ask("POST", "/streams/events/groups/g/commit"), forbidden()),
        ("a write key for the end of a group", ask("DELETE", "/streams/events/groups/g"), forbidden()),
        ("a write key for the feed", ask("GET", "/live"), forbidden()),
        ("a write key for the app", ask("GET", ""), forbidden()),
        (
            "a write key for another app",
            Wire::head("GET", "/v1/apps/com.acme.shop/events", &[&write]),
            Expected::Problem(404, "not_found", ""),
        ),
    ]
}

fn headers(world: &World) -> Vec<Row> {
    let flood = |count: usize| {
        let headers: Vec<String> = (0..count).map(|n| format!("X-Flood-{n}: {n}")).collect();
        Wire::open(world, "GET", "/events", &headers.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let long =
        |bytes: usize| Wire::open(world, "GET", "/events", &[&format!("X-Long: {}", "x".repeat(bytes))]);
    let raw = |bytes: &[u8]| Wire::bytes(bytes);
    vec![
        ("101 headers", flood(101 - 3), Expected::Problem(431, "headers_too_large", "100 headers")),
        ("900 headers", flood(900), Expected::Problem(431, "headers_too_large", "100 headers")),
        ("5,000 headers", flood(5_000), Expected::Bare(&[431])),
        ("a header of 300 KB", long(300_000), Expected::Bare(&[431])),
        ("a header without a name", Wire::open(world, "GET", "/events", &[": x"]), Expected::Bare(&[400])),
        ("a header with NUL", Wire::open(world, "GET", "/events", &["X-Nul: a\0b"]), Expected::Bare(&[400])),
        (
            "a header name with a space",
            Wire::open(world, "GET", "/events", &["X Y: 1"]),
            Expected::Bare(&[400]),
        ),
        (
            "a request that is none",
            raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
            Expected::Bare(&[400]),
        ),
        ("a request of another protocol", raw(b"EHLO a.example\r\n\r\n"), Expected::Bare(&[400])),
        ("a version that there is not", raw(b"GET / HTTP/7.0\r\n\r\n"), Expected::Bare(&[400, 505])),
        (
            "two lengths",
            Wire::open(world, "POST", "/events", &["Content-Length: 1", "Content-Length: 2"]).with(b"{}"),
            Expected::Bare(&[400]),
        ),
        (
            "a coding that there is not",
            Wire::open(world, "POST", "/events", &["Transfer-Encoding: gzip"]).with(b"{}"),
            Expected::Bare(&[400, 501]),
        ),
    ]
}
