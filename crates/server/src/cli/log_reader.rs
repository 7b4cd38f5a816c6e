//! An access log as batches of events: streamed, in bounded memory, with ids that a second reading repeats.

use super::access_log::{self, LogLine, Request};
use angarium_client::Event;
use flate2::read::MultiGzDecoder;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// A longer line is no log line, and is not kept.
const MAX_LINE_BYTES: usize = 64 << 10;
/// A batch ends here even if it is short of lines, to stay well below what a server takes in one body.
const MAX_BATCH_BYTES: usize = 512 << 10;
/// The longest user agent that a server takes; of a longer one the beginning says enough.
const MAX_AGENT_BYTES: usize = 2_048;
/// How many distinct lines are remembered, at least, to tell a repeated line from its first occurrence.
const REMEMBERED_LINES: usize = 2_000_000;

/// Some events, and what could not be one.
#[derive(Debug, Default)]
pub struct Batch {
    pub events: Vec<Event>,
    /// The number of each event's line, from 1.
    pub line_numbers: Vec<u64>,
    pub skipped: Vec<Skipped>,
}

/// A line that did not become an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    pub line: u64,
    pub reason: String,
}

/// What is made of each line.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub event_type: String,
    pub batch_lines: usize,
    /// When given, devices are told apart by a hash of it, the host and the user agent.
    pub device_salt: Option<String>,
}

pub struct LogReader {
    input: Box<dyn BufRead + Send>,
    recipe: Recipe,
    line_number: u64,
    seen: Occurrences,
}

impl LogReader {
    /// Reads `input`, unpacking it if it is gzip; adds to `bytes_read` what it takes from it.
    pub fn open(
        input: impl Read + Send + 'static,
        bytes_read: Arc<AtomicU64>,
        recipe: Recipe,
    ) -> io::Result<LogReader> {
        let mut input = BufReader::with_capacity(64 << 10, Counting { input, bytes_read });
        let is_gzip = input.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let input: Box<dyn BufRead + Send> = match is_gzip {
            true => Box::new(BufReader::with_capacity(64 << 10, MultiGzDecoder::new(input))),
            false => Box::new(input),
        };
        Ok(LogReader { input, recipe, line_number: 0, seen: Occurrences::new(REMEMBERED_LINES) })
    }

    /// The next batch, or `None` at the end of the log. Blank lines are passed over.
    pub fn next_batch(&mut self) -> io::Result<Option<Batch>> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        let mut line = Vec::new();
        while batch.events.len() + batch.skipped.len() < self.recipe.batch_lines && bytes < MAX_BATCH_BYTES {
            let Some(is_whole) = read_line(&mut self.input, &mut line)? else { break };
            self.line_number += 1;
            if line.iter().all(u8::is_ascii_whitespace) && is_whole {
                continue;
            }
            bytes += line.len();
            let event = match is_whole {
                true => self.event(&line),
                false => Err(format!("it is longer than {MAX_LINE_BYTES} bytes")),
            };
            match event {
                Ok(event) => {
                    batch.events.push(event);
                    batch.line_numbers.push(self.line_number);
                }
                Err(reason) => batch.skipped.push(Skipped { line: self.line_number, reason }),
            }
        }
        let is_empty = batch.events.is_empty() && batch.skipped.is_empty();
        Ok((!is_empty).then_some(batch))
    }

    fn event(&mut self, bytes: &[u8]) -> Result<Event, String> {
        let text = String::from_utf8_lossy(bytes);
        let line = access_log::parse(&text)?;
        let ip = line.ip().map(|ip| ip.to_string());
        Ok(Event {
            event_type: self.recipe.event_type.clone(),
            id: Some(self.seen.id(bytes)),
            at: Some(angarium_base::time::format(line.at)),
            device_id: self.recipe.device_salt.as_deref().map(|salt| device_id(salt, &line)),
            params: Some(params(&line, ip.is_none()).map_err(|error| error.to_string())?),
            ip,
            user_agent: Some(agent(line.user_agent.as_deref())),
        })
    }
}

/// What the server is told of the agent: empty for an unknown one, so that it does not take this program's.
fn agent(text: Option<&str>) -> String {
    let text = text.unwrap_or_default();
    text[..text.floor_char_boundary(MAX_AGENT_BYTES)].to_owned()
}

#[derive(Serialize)]
struct Params<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'a str>,
    /// What came in place of a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    status: u16,
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referrer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
}

fn params(line: &LogLine<'_>, names_host: bool) -> serde_json::Result<Box<serde_json::value::RawValue>> {
    let (method, path, protocol, request) = match &line.request {
        Request::Http { method, path, protocol } => {
            (Some(method.as_str()), Some(path.as_str()), protocol.as_deref(), None)
        }
        Request::Garbage(text) => (None, None, None, Some(text.as_ref())),
        Request::Absent => (None, None, None, None),
    };
    serde_json::value::to_raw_value(&Params {
        method,
        path,
        protocol,
        request,
        status: line.status,
        bytes: line.bytes,
        referrer: line.referrer.as_deref(),
        host: names_host.then_some(line.host),
    })
}

fn device_id(salt: &str, line: &LogLine<'_>) -> String {
    let mut hash = Sha256::new();
    for part in [salt, line.host, line.user_agent.as_deref().unwrap_or_default()] {
        hash.update(part);
        hash.update([0]);
    }
    format!("dev_{}", hex_of_128_bits(&hash.finalize()))
}

/// How often each line has come, so that repeated lines are distinct events with ids of their own.
///
/// Of a log with more distinct lines than it remembers it forgets those that have not come for longest,
/// always at the same place of the same log: the ids of a second reading are the same either way.
struct Occurrences {
    recent: HashMap<u64, u64>,
    older: HashMap<u64, u64>,
    remembered: usize,
}

impl Occurrences {
    fn new(remembered: usize) -> Occurrences {
        Occurrences { recent: HashMap::new(), older: HashMap::new(), remembered }
    }

    /// `log_` and 128 bits of the SHA-256 of the line and its occurrence number among its likes.
    fn id(&mut self, line: &[u8]) -> String {
        let mut hash = Sha256::new();
        hash.update(line);
        let of_line = hash.clone().finalize();
        let mut key = [0; 8];
        key.copy_from_slice(&of_line[..8]);
        // No line holds a line end, so no line looks like another one with its number.
        hash.update(format!("\n{}", self.count(u64::from_be_bytes(key))));
        format!("log_{}", hex_of_128_bits(&hash.finalize()))
    }

    /// How often `key` came before.
    fn count(&mut self, key: u64) -> u64 {
        if self.recent.len() >= self.remembered {
            self.older = std::mem::take(&mut self.recent);
        }
        let older = self.older.get(&key).copied().unwrap_or_default();
        let next = self.recent.entry(key).or_insert(older);
        *next += 1;
        *next - 1
    }
}

fn hex_of_128_bits(hash: &[u8]) -> String {
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a line without its end into `line`; `Some(false)` if it was too long and is cut, `None` at the end.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let mut is_whole = true;
    let mut is_end = true;
    loop {
        let piece = match input.fill_buf() {
            Ok(piece) => piece,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if piece.is_empty() {
            break;
        }
        is_end = false;
        let end = piece.iter().position(|&byte| byte == b'\n');
        let text = &piece[..end.unwrap_or(piece.len())];
        let room = MAX_LINE_BYTES.saturating_sub(line.len());
        is_whole &= text.len() <= room;
        line.extend_from_slice(&text[..text.len().min(room)]);
        let taken = end.map_or(piece.len(), |end| end + 1);
        input.consume(taken);
        if end.is_some() {
            break;
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok((!is_end).then_some(is_whole))
}

/// Counts what is read, for the progress bar.
struct Counting<R> {
    input: R,
    bytes_read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.bytes_read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, io::Write};

    const LINE: &str =
        "1.2.3.4 - - [17/May/2015:10:05:03 +0200] \"GET /a HTTP/1.1\" 200 - \"-\" \"Agent/1.0\"";

    fn read(log: &[u8]) -> Batch {
        read_with(log, Recipe { event_type: "http_request".into(), batch_lines: 10, device_salt: None })
    }

    fn read_with(log: &[u8], recipe: Recipe) -> Batch {
        let mut reader = LogReader::open(io::Cursor::new(log.to_vec()), Arc::default(), recipe).unwrap();
        let mut whole = Batch::default();
        while let Some(mut batch) = reader.next_batch().unwrap() {
            whole.events.append(&mut batch.events);
            whole.line_numbers.append(&mut batch.line_numbers);
            whole.skipped.append(&mut batch.skipped);
        }
        whole
    }

    fn ids(batch: &Batch) -> Vec<&str> {
        batch.events.iter().map(|event| event.id.as_deref().unwrap()).collect()
    }

    #[test]
    fn a_line_becomes_an_event() {
        let event = &read(LINE.as_bytes()).events[0];
        assert_eq!(
            serde_json::to_string(event).unwrap(),
            "{\"type\":\"http_request\",\"id\":\"log_8fa2602cd65109818a3c51f03698ba1b\",\
             \"at\":\"2015-05-17T08:05:03.000Z\",\"ip\":\"1.2.3.4\",\"user_agent\":\"Agent/1.0\",\
             \"params\":{\"method\":\"GET\",\"path\":\"/a\",\"protocol\":\"HTTP/1.1\",\"status\":200,\"bytes\":null}}"
        );
    }

    #[test]
    fn an_agent_is_never_mistaken_for_this_program_nor_too_long() {
        let of = |text: &str| read(LINE.replace("Agent/1.0", text).as_bytes()).events[0].user_agent.clone();
        assert_eq!(of("-").as_deref(), Some(""));
        assert_eq!(of(&format!("a{}", "ä".repeat(2_000))).unwrap().len(), 2_047);
    }

    #[test]
    fn a_name_is_no_address_and_a_device_is_salted() {
        let recipe =
            |salt: &str| Recipe { event_type: "hit".into(), batch_lines: 10, device_salt: Some(salt.into()) };
        let log = LINE.replace("1.2.3.4", "bot.example.org");
        let (one, other) = (read_with(log.as_bytes(), recipe("a")), read_with(log.as_bytes(), recipe("b")));
        assert_eq!(one.events[0].ip, None);
        assert!(one.events[0].params.as_ref().unwrap().get().contains("\"host\":\"bot.example.org\""));
        assert!(one.events[0].device_id.as_ref().unwrap().starts_with("dev_"));
        assert_ne!(one.events[0].device_id, other.events[0].device_id);
        assert_eq!(one.events[0].id, other.events[0].id);
    }

    #[test]
    fn repeated_lines_are_distinct_events_with_ids_that_a_second_reading_repeats() {
        let log = format!("{LINE}\nno log line\n\n{LINE}\r\n{LINE}x\n\u{fffd}{LINE}");
        let first = read(log.as_bytes());
        assert_eq!(first.line_numbers, [1, 4, 5, 6]);
        assert_eq!(first.skipped, [Skipped { line: 2, reason: "there is no [time]".into() }]);
        assert_eq!(ids(&first).iter().collect::<HashSet<_>>().len(), 4);
        assert_eq!(ids(&first), ids(&read(log.as_bytes())));
        let batches_of_one = Recipe { event_type: "x".into(), batch_lines: 1, device_salt: None };
        assert_eq!(ids(&first), ids(&read_with(log.as_bytes(), batches_of_one)), "batches do not matter");
    }

    #[test]
    fn memory_for_repeated_lines_is_bounded_and_keeps_the_recent_ones() {
        let mut seen = Occurrences::new(2);
        assert_eq!([1, 1, 2, 1, 3, 1].map(|key| seen.count(key)), [0, 1, 0, 2, 0, 3]);
        assert!(seen.recent.len() + seen.older.len() <= 4);
    }

    #[test]
    fn gzip_is_unpacked_and_bytes_that_are_no_text_are_kept_readable() {
        let log =
            [LINE.replace("/a", "/a\u{e9}").into_bytes(), LINE.replace("/a", "/?").into_bytes()].join(&b'\n');
        let log: Vec<u8> = log.iter().map(|&byte| if byte == b'?' { 0xff } else { byte }).collect();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&log).unwrap();
        let (plain, packed) = (read(&log), read(&gz.finish().unwrap()));
        assert_eq!(ids(&plain), ids(&packed));
        assert!(plain.events[0].params.as_ref().unwrap().get().contains("/aé"));
        assert!(plain.events[1].params.as_ref().unwrap().get().contains("/\u{fffd}"));
    }

    #[test]
    fn a_line_without_end_is_skipped_and_not_kept() {
        let mut log = vec![b'x'; 3 * MAX_LINE_BYTES];
        log.extend_from_slice(b"\n");
        log.extend_from_slice(LINE.as_bytes());
        let batch = read(&log);
        assert_eq!((batch.line_numbers, batch.skipped[0].line), (vec![2], 1));
    }
}
