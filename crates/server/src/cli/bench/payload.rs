//! What is sent: events of about 300 bytes as shops and apps send them, all different, of a few types.

use std::{fmt::Write, sync::Arc};

/// Events of a batch.
pub const BATCH: usize = 1_000;
/// Different single requests, so that no cache sees the same bytes over and over.
const POOL: usize = 512;
const AGENT: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/126.0.0.0 Safari/537.36";
const TYPES: [&str; 6] = ["page_view", "product_viewed", "search", "add_to_cart", "purchase", "app_open"];
const WORDS: [&str; 16] = [
    "linen", "shirt", "blue", "winter", "boots", "leather", "bag", "kids", "running", "shoes", "cotton",
    "scarf", "wool", "coat", "summer", "dress",
];
/// Digits of an id that differ between events; the others differ between lines.
const FRESH_DIGITS: usize = 16;

/// Numbers that look random and are the same in every run (splitmix64, public domain, Vigna 2015).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len() as u64) as usize]
    }
}

/// Where requests go and with which key.
pub struct Caller<'a> {
    pub app: &'a str,
    pub key: &'a str,
}

impl Caller<'_> {
    /// A request as it goes over the wire; `path` is what follows the app, or begins with `/` for the root.
    pub fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
        let path =
            if path.starts_with('/') { path.to_owned() } else { format!("/v1/apps/{}/{path}", self.app) };
        format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: {AGENT}\r\n{}{headers}\
             content-length: {}\r\n\r\n{body}",
            self.authorization(),
            body.len()
        )
        .into_bytes()
    }

    /// Nobody has no header.
    fn authorization(&self) -> String {
        if self.key.is_empty() { String::new() } else { format!("authorization: Bearer {}\r\n", self.key) }
    }

    pub fn get(&self, path: &str) -> Vec<u8> {
        self.request("GET", path, "accept: application/json\r\n", "")
    }

    pub fn post(&self, path: &str, body: &str) -> Vec<u8> {
        self.request("POST", path, "accept: */*\r\ncontent-type: application/json\r\n", body)
    }

    /// One event a request, for each of so many connections.
    pub fn singles(&self, connections: usize) -> Vec<Script> {
        let mut numbers = Numbers(1);
        let pool = (0..POOL).map(|_| self.post("events", &event(&mut numbers, "")));
        Script::sharing(pool.collect(), connections)
    }

    /// Tracking calls, as a page sends them.
    pub fn tracking_calls(&self, connections: usize) -> Vec<Script> {
        self.tracking_calls_by("GET", connections)
    }

    /// The same by `GET` or `POST`.
    pub fn tracking_calls_by(&self, method: &str, connections: usize) -> Vec<Script> {
        let mut numbers = Numbers(2);
        let pool = (0..POOL).map(|_| {
            let n = &mut numbers;
            let path = format!(
                "/t/page_view?page=%2Fshop%2F{}%2F{}&title={}+{}&session={:016x}&width={}&referrer=https%3A%2F%2Fwww.example.com%2F{}",
                n.word(), n.below(100_000), n.word(), n.word(), n.next(), 320 + n.below(1_600), n.word(),
            );
            self.request(method, &path, "accept: application/json\r\n", "")
        });
        Script::sharing(pool.collect(), connections)
    }

    /// Batches one event a line, for each of so many connections; with ids, no two of them the same, and
    /// none the same as with another `salt`.
    pub fn batches(&self, connections: usize, ids: Option<u64>) -> Vec<Script> {
        (0..connections as u64)
            .map(|connection| match ids {
                None => Script::cycling(Arc::new(vec![self.batch(connection, false).0])),
                Some(salt) => {
                    let (request, places) = self.batch(connection, true);
                    let numbers = Numbers(salt.wrapping_mul(0x1_0000_0001).wrapping_add(connection << 40));
                    Script { kind: Kind::Fresh { request, places, numbers } }
                }
            })
            .collect()
    }

    /// Batches of documents, one a line, for each of so many connections.
    pub fn messages(&self, connections: usize) -> Vec<Script> {
        let headers = "accept: */*\r\ncontent-type: application/x-ndjson\r\n";
        (0..connections as u64)
            .map(|connection| {
                let mut numbers = Numbers(connection + 3);
                let lines = (0..BATCH).map(|_| event(&mut numbers, "") + "\n");
                let request = self.request("POST", "messages", headers, &lines.collect::<String>());
                Script::cycling(Arc::new(vec![request]))
            })
            .collect()
    }

    /// A batch, and where the fresh digits of its ids are.
    fn batch(&self, connection: u64, with_ids: bool) -> (Vec<u8>, Vec<usize>) {
        let mut numbers = Numbers(connection + 3);
        let (mut body, mut places) = (String::with_capacity(BATCH * 360), Vec::new());
        for _ in 0..BATCH {
            let id = with_ids.then(|| format!("\"id\":\"{:0FRESH_DIGITS$}{:016x}\",", 0, numbers.next()));
            if with_ids {
                places.push(body.len() + "{\"id\":\"".len());
            }
            body.push_str(&event(&mut numbers, id.as_deref().unwrap_or("")));
            body.push('\n');
        }
        let headers = "accept: */*\r\ncontent-type: application/x-ndjson\r\n";
        let request = self.request("POST", "events", headers, &body);
        let head = request.len() - body.len();
        places.iter_mut().for_each(|place| *place += head);
        (request, places)
    }
}

/// An event; `id` is its first member, with a comma, or nothing.
fn event(n: &mut Numbers, id: &str) -> String {
    let mut out = String::with_capacity(360);
    // Writing into a String cannot fail.
    let _ = write!(
        out,
        "{{{id}\"type\":\"{}\",\"at\":\"2026-01-31T12:{:02}:{:02}.{:03}Z\",\"device_id\":\"{:016x}\",\"params\":{{\
         \"page\":\"/shop/{}/{}\",\"title\":\"{} {} {}\",\"price\":{}.{:02},\"currency\":\"EUR\",\"quantity\":{},\
         \"session\":\"{:016x}\",\"referrer\":\"https://www.example.com/search?q={}\",\"returning\":{}}}}}",
        TYPES[n.below(TYPES.len() as u64) as usize],
        n.below(60),
        n.below(60),
        n.below(1_000),
        n.next(),
        n.word(),
        n.below(100_000),
        n.word(),
        n.word(),
        n.word(),
        n.below(400),
        n.below(100),
        1 + n.below(4),
        n.next(),
        n.word(),
        n.below(2) == 0,
    );
    out
}

/// Mean size of an event without an id, in bytes.
pub fn event_bytes() -> f64 {
    let mut numbers = Numbers(1);
    (0..POOL).map(|_| event(&mut numbers, "").len()).sum::<usize>() as f64 / POOL as f64
}

/// The requests of one connection, without end.
pub struct Script {
    kind: Kind,
}

enum Kind {
    Cycle {
        pool: Arc<Vec<Vec<u8>>>,
        at: usize,
    },
    /// One request whose ids are new each time.
    Fresh {
        request: Vec<u8>,
        places: Vec<usize>,
        numbers: Numbers,
    },
}

impl Script {
    fn cycling(pool: Arc<Vec<Vec<u8>>>) -> Script {
        Script { kind: Kind::Cycle { pool, at: 0 } }
    }

    /// One pool for all connections; each begins elsewhere in it.
    fn sharing(pool: Vec<Vec<u8>>, connections: usize) -> Vec<Script> {
        let pool = Arc::new(pool);
        (0..connections).map(|n| Script { kind: Kind::Cycle { pool: pool.clone(), at: n * 7 } }).collect()
    }

    pub fn next(&mut self) -> &[u8] {
        match &mut self.kind {
            Kind::Cycle { pool, at } => {
                *at += 1;
                &pool[*at % pool.len()]
            }
            Kind::Fresh { request, places, numbers } => {
                for place in places {
                    write_hex(&mut request[*place..*place + FRESH_DIGITS], numbers.next());
                }
                request
            }
        }
    }
}

fn write_hex(out: &mut [u8], number: u64) {
    for (at, digit) in out.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (60 - 4 * at)) as usize & 15];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_event_of_every_batch_has_an_id_of_its_own() {
        let caller = Caller { app: "app_x", key: "ang_sk_x" };
        let mut seen = HashSet::new();
        for mut script in [caller.batches(2, Some(1)), caller.batches(2, Some(2))].into_iter().flatten() {
            for _ in 0..3 {
                let text = String::from_utf8(script.next().to_vec()).unwrap();
                let (_, body) = text.split_once("\r\n\r\n").unwrap();
                for line in body.lines() {
                    let event: serde_json::Value = serde_json::from_str(line).unwrap();
                    assert!(seen.insert(event["id"].as_str().unwrap().to_owned()), "an id is there twice");
                }
            }
        }
        assert_eq!(seen.len(), 4 * 3 * BATCH);
    }

    #[test]
    fn events_have_about_300_bytes() {
        assert!((280.0..320.0).contains(&event_bytes()), "{}", event_bytes());
    }
}
