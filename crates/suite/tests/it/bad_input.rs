//! Bad input gets a clear error that names the place, and costs nothing that was good.
//!
//! | Module | What is bad |
//! |---|---|
//! | [`events`] | an event: each in every form in which events come |
//! | [`bodies`] | a body as a whole: its size, its encoding, its end |
//! | [`requests`] | everything else of a request: path, query, key, headers |
//! | [`slowness`] | what does not arrive |
//! | [`lines`] | what could break a consumer's line |

mod bodies;
mod events;
mod lines;
pub mod packed;
mod requests;
mod slowness;
mod wire;

use angarium_suite::{Reply, World, eventually};
use events::BadEvent;
use serde_json::{Value, json};
use std::collections::HashSet;
use wire::Wire;

/// Something bad, and what is to come of it.
struct Case {
    name: String,
    wire: Wire,
    expected: Expected,
    /// The good events of the request that are kept, by their numbers.
    kept: &'static [u64],
}

enum Expected {
    /// A refusal with this status, code and, somewhere in what it says of the place, this text.
    Problem(u16, &'static str, &'static str),
    /// A refusal that names one bad event: status, index, code, place.
    Rejected(u16, usize, &'static str, &'static str),
    /// One of these, whatever it says: written by the HTTP library before the request could be read.
    Bare(&'static [u16]),
    /// A problem of this status and code, or the connection is closed.
    ProblemOrClosed(u16, &'static str),
    /// It is good.
    Accepted,
}

/// A world, and how far its events have been accounted for.
struct Bench<'a> {
    world: &'a World,
    read_up_to: Option<String>,
    ran: HashSet<String>,
    faults: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_with_its_place_and_costs_nothing_that_was_good() {
    let world = World::start().await;
    let mut bench = Bench { world: &world, read_up_to: None, ran: HashSet::new(), faults: Vec::new() };
    for event in events::at_the_limit() {
        let wire = Wire::post(&world, "/events", &[JSON], &event.text);
        bench.run(Case { name: event.name.into(), wire, expected: Expected::Accepted, kept: &[7] }).await;
    }
    for event in events::refused() {
        for case in forms(&world, &event) {
            bench.run(case).await;
        }
    }
    for event in events::not_json() {
        for case in forms_of_what_is_not_json(&world, &event) {
            bench.run(case).await;
        }
    }
    for case in bodies::cases(&world).chain(requests::cases(&world)) {
        bench.run(case).await;
    }
    let wire = Wire::post(&world, "/events", &[JSON], good(0).as_bytes());
    bench
        .run(Case { name: "a last good event".into(), wire, expected: Expected::Accepted, kept: &[0] })
        .await;
    let Bench { ran, faults, .. } = bench;
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), ran.len(), faults.join("\n"));
    assert_eq!(world.open("/health/ready").await.status, 200);
    let peak = memory_mib(&world, "VmHWM");
    assert!(peak < 400, "{peak} MiB were in use");
    // An allocator gives back what is free in its own time, while it is used.
    let resident = eventually("memory is given back", async || {
        assert_eq!(world.get("/events?limit=1000").await.status, 200);
        Some(memory_mib(&world, "VmRSS")).filter(|mib| *mib < 150)
    });
    println!("{} cases, {} MiB, {peak} MiB at the highest", ran.len(), resident.await);
    assert!(ran.len() > 800, "only {} cases", ran.len());
    let log = world.stderr();
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
}

const JSON: &str = "Content-Type: application/json";
const NDJSON: &str = "Content-Type: application/x-ndjson";

/// What stands for an event that should not be there.
const BAD: u64 = u64::MAX;
const NONE: &[u64] = &[];
const BOTH: &[u64] = &[0, 1];

/// A good event.
fn good(n: u64) -> String {
    json!({"type": "good", "params": {"n": n}}).to_string()
}

/// `text` between two good events, each on its own line.
fn between(open: &str, good_ends: [&str; 2], close: &str, text: &[u8]) -> Vec<u8> {
    let [first, second] = good_ends;
    let before = format!("{open}{}{first}\n", good(0));
    let after = format!("{second}\n{}{close}", good(1));
    [before.as_bytes(), text, after.as_bytes()].concat()
}

/// One bad event alone, among good ones, and where good ones are not wanted without it.
fn forms<'a>(world: &'a World, event: &'a BadEvent) -> impl Iterator<Item = Case> + use<'a> {
    let &BadEvent { name, ref text, code, place } = event;
    let (alone, status) =
        if code == "event_too_large" { ("event_too_large", 413) } else { ("invalid_event", 422) };
    let array = move || between("[", [",", ","], "]", text);
    let lines = move || between("", ["", ""], "\n", text);
    let twice = move || [b"[", &text[..], b",", text, b"]"].concat();
    let one = move |status, index| Expected::Rejected(status, index, code, place);
    (0..6).map(move |form| {
        let (form, rest, content_type, body, expected, kept) = match form {
            0 => (" alone", "/events", JSON, text.clone(), Expected::Problem(status, alone, place), NONE),
            1 => (" in an array", "/events", JSON, array(), one(202, 1), BOTH),
            2 => (" in lines", "/events", NDJSON, lines(), one(202, 1), BOTH),
            3 => (" in an array, atomic", "/events?atomic=true", JSON, array(), one(422, 1), NONE),
            4 => (" in lines, atomic", "/events?atomic=true", NDJSON, lines(), one(422, 1), NONE),
            _ => (" twice and nothing else", "/events", JSON, twice(), one(422, 0), NONE),
        };
        let wire = Wire::post(world, rest, &[content_type], &body);
        Case { name: format!("{name}{form}"), wire, expected, kept }
    })
}

fn forms_of_what_is_not_json<'a>(
    world: &'a World,
    event: &'a BadEvent,
) -> impl Iterator<Item = Case> + use<'a> {
    let &BadEvent { name, ref text, code, place } = event;
    let array = between("[", [",", ","], "]", text);
    let lines = between("", ["", ""], "\n", text);
    let whole = move |place| Expected::Problem(400, code, place);
    [
        (" alone", "/events", JSON, text.clone(), whole(place), NONE),
        (" alone, and where", "/events", JSON, text.clone(), whole("line 1"), NONE),
        // The reader may find out only on the next line.
        (" in an array", "/events", JSON, array, whole(" at line "), NONE),
        (" in lines", "/events", NDJSON, lines.clone(), Expected::Rejected(202, 1, code, place), BOTH),
        (
            " in lines, and where",
            "/events",
            NDJSON,
            lines.clone(),
            Expected::Rejected(202, 1, code, "line 2"),
            BOTH,
        ),
        (
            " in lines, atomic",
            "/events?atomic=1",
            NDJSON,
            lines,
            Expected::Rejected(422, 1, code, place),
            NONE,
        ),
        (" as the only line", "/events", NDJSON, text.clone(), Expected::Rejected(422, 0, code, place), NONE),
    ]
    .into_iter()
    .map(move |(form, rest, content_type, body, expected, kept)| Case {
        name: format!("{name}{form}"),
        wire: Wire::post(world, rest, &[content_type], &body),
        expected,
        kept,
    })
}

impl Bench<'_> {
    async fn run(&mut self, case: Case) {
        let name = &case.name;
        let reply = case.wire.send(self.world).await;
        let found = match (&reply, &case.expected) {
            (None, Expected::ProblemOrClosed(..)) => Ok(()),
            (None, _) => Err("the connection was closed without an answer".to_owned()),
            (Some(reply), expected) => check(reply, expected, case.kept.len()),
        };
        let kept = self.newly_kept().await;
        let found = found.and_then(|()| same("what is kept", &kept, &case.kept));
        if let Err(why) = found {
            let said = reply.map(|reply| {
                let text: String = reply.text().chars().take(500).collect();
                format!("{} {text}", reply.status)
            });
            self.faults.push(format!("{name}: {why}\n    answer: {}", said.unwrap_or_default()));
        }
        assert!(self.ran.insert(case.name.clone()), "two cases are called `{name}`");
    }

    /// The numbers of the good events that were kept since this was last asked; [`BAD`] for any other event.
    async fn newly_kept(&mut self) -> Vec<u64> {
        let after = self.read_up_to.as_ref().map(|cursor| format!("&after={cursor}")).unwrap_or_default();
        let page = self.world.get(&format!("/streams/events/records?limit=1000{after}")).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        self.read_up_to = page["next"].as_str().map(str::to_owned);
        let number = |record: &Value| record["data"]["params"]["n"].as_u64().unwrap_or(BAD);
        page["items"].as_array().expect("a page has items").iter().map(number).collect()
    }
}

fn check(reply: &Reply, expected: &Expected, kept: usize) -> Result<(), String> {
    match *expected {
        Expected::Problem(status, code, place) => {
            let problem = problem(reply, status, code)?;
            let pointer = problem["errors"][0]["pointer"].as_str();
            let detail = problem["detail"].as_str().unwrap_or_default();
            is_at(pointer.unwrap_or_default(), detail, place)
        }
        Expected::Rejected(status, index, code, place) => {
            let outcome = if status == 202 { reply.json() } else { problem(reply, status, "invalid_event")? };
            same("status", &reply.status, &status)?;
            same("accepted", &outcome["accepted"], &json!(kept))?;
            same("duplicates", &outcome["duplicates"], &json!(0))?;
            let rejected = &outcome["rejected"][0];
            same("index", &rejected["index"], &json!(index))?;
            same("code", &rejected["code"], &json!(code))?;
            let [pointer, detail] =
                [&rejected["pointer"], &rejected["detail"]].map(|v| v.as_str().unwrap_or("?"));
            is_at(pointer, detail, place)
        }
        Expected::Bare(statuses) if statuses.contains(&reply.status) => Ok(()),
        Expected::Bare(statuses) => Err(format!("expected one of {statuses:?}")),
        Expected::ProblemOrClosed(status, code) => problem(reply, status, code).map(drop),
        Expected::Accepted => same("status", &reply.status, &202),
    }
}

/// A pointer begins with a slash or is empty; anything else is a piece of the detail.
fn is_at(pointer: &str, detail: &str, place: &str) -> Result<(), String> {
    let there = match place.strip_suffix('*') {
        Some(start) => pointer.starts_with(start),
        None if place.is_empty() || place.starts_with('/') => pointer == place,
        None => detail.contains(place),
    };
    if there { Ok(()) } else { Err(format!("expected the place `{place}`, it names `{pointer}`: {detail}")) }
}

/// Every refusal is a problem document, and names its request.
fn problem(reply: &Reply, status: u16, code: &str) -> Result<Value, String> {
    same("status", &reply.status, &status)?;
    same("media type", &reply.header("content-type"), &"application/problem+json")?;
    let problem = reply.json();
    same("code", &problem["code"], &json!(code))?;
    same("status in the document", &problem["status"], &json!(status))?;
    same("type", &problem["type"], &json!(format!("/docs/errors#{code}")))?;
    for member in ["title", "detail", "request_id"] {
        if problem[member].as_str().is_none_or(str::is_empty) {
            return Err(format!("the problem has no {member}"));
        }
    }
    same("request id", &problem["request_id"], &json!(reply.header("x-request-id")))?;
    Ok(problem)
}

fn same<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(
    what: &str,
    found: &T,
    expected: &U,
) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, found {found:?}")) }
}

/// A line of the server's `/proc/PID/status`, in MiB.
fn memory_mib(world: &World, line: &str) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", world.pid())).expect("the server is alive");
    let line = status.lines().find(|l| l.starts_with(line)).expect("the kernel says so");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    kib.expect("a number of KiB") / 1024
}
