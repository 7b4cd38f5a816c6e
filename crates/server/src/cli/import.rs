//! `angarium import`: brings what happened before into the event stream.
//!
//! ```text
//!  thread: file ─▶ lines ─▶ events ─▶ batches ═▶ (bounded) ═▶ requests, a few at a time ─▶ summary
//! ```
//!
//! Every event has an id made of its line, so an import that was interrupted, or is run twice, adds nothing
//! that is already there.

use super::{
    connection::{Connection, ConnectionArgs},
    failure::{Failure, Result},
    log_reader::{Batch, LogReader, Recipe, Skipped},
    output::{interrupted, note, say},
};
use angarium_client::{Retry, Tracked};
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

#[derive(clap::Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    pub source: ImportSource,
}

#[derive(clap::Subcommand)]
pub enum ImportSource {
    /// An access log in the common or combined format, also packed with gzip
    ///
    /// Each line becomes an event with an id made of the line, so importing a file again adds nothing.
    AccessLog(AccessLogArgs),
}

#[derive(clap::Args)]
pub struct AccessLogArgs {
    /// The log, or - for standard input
    pub file: PathBuf,
    /// The type of the events
    #[arg(long = "type", default_value = "http_request")]
    pub event_type: String,
    /// Events in one request
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub batch: u16,
    /// Requests under way at the same time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub concurrency: u8,
    /// Tell devices apart, by a hash of this text, the host and the user agent
    #[arg(long)]
    pub device_salt: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// An import may wait longer for a busy server than somebody at a prompt.
const PATIENCE: Retry = Retry { attempts: 12, longest_wait: Duration::from_secs(60) };
/// How many skipped lines are named.
const NAMED: usize = 10;

pub async fn run(args: ImportArgs) -> Result {
    match args.source {
        ImportSource::AccessLog(args) => import_access_log(args).await,
    }
}

async fn import_access_log(args: AccessLogArgs) -> Result {
    let (input, size) = open(&args.file)?;
    let mut connection = args.connection.connect().await?;
    connection.client = connection.client.with_retry(PATIENCE);
    let progress = Progress::new(size);
    let recipe = Recipe {
        event_type: args.event_type.clone(),
        batch_lines: args.batch.into(),
        device_salt: args.device_salt.clone(),
    };
    let batches = read_batches(input, progress.bytes_read.clone(), recipe);
    let mut summary = Summary::default();
    let started = Instant::now();
    let sending = send_batches(&connection, batches, args.concurrency.into(), &mut summary, &progress);
    let ended = tokio::select! {
        ended = sending => ended,
        () = interrupted() => Err(Failure::new("interrupted")),
    };
    progress.bar.finish_and_clear();
    summary.elapsed_ms = started.elapsed().as_millis() as u64;
    if let Err(failure) = ended {
        return Err(Failure { message: summary.cut_short(&failure.message), ..failure });
    }
    summary.print(args.json)?;
    summary.verdict()
}

/// The log and, if it is a file, its size in bytes.
fn open(path: &PathBuf) -> Result<(Box<dyn Read + Send>, Option<u64>)> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(io::stdin()), None));
    }
    let cannot = |error: io::Error| Failure::new(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if metadata.is_dir() {
        return Err(Failure::new(format!("{} is a directory", path.display())));
    }
    let size = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), size))
}

/// Reads on a thread of its own, no further ahead than the channel is long.
fn read_batches(
    input: Box<dyn Read + Send>,
    bytes_read: Arc<AtomicU64>,
    recipe: Recipe,
) -> mpsc::Receiver<io::Result<Batch>> {
    let (sender, receiver) = mpsc::channel(2);
    thread::spawn(move || {
        let read = LogReader::open(input, bytes_read, recipe).and_then(|mut reader| {
            while let Some(batch) = reader.next_batch()? {
                if sender.blocking_send(Ok(batch)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        if let Err(error) = read {
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

async fn send_batches(
    connection: &Connection,
    batches: mpsc::Receiver<io::Result<Batch>>,
    concurrency: usize,
    summary: &mut Summary,
    progress: &Progress,
) -> Result {
    let batches =
        stream::unfold(batches, async |mut batches| batches.recv().await.map(|next| (next, batches)));
    let answers = batches
        .map(async |batch| {
            let batch = batch.map_err(|error| Failure::new(format!("the log cannot be read: {error}")))?;
            let tracked = connection.client.track_events(&connection.app, &batch.events).await?;
            Ok::<_, Failure>((batch, tracked))
        })
        .buffer_unordered(concurrency);
    let mut answers = pin!(answers);
    while let Some(answer) = answers.next().await {
        let (batch, tracked) = answer?;
        summary.add(batch, tracked);
        progress.show(summary);
    }
    Ok(())
}

/// What an import did, in lines of the log.
#[derive(Debug, Default, Serialize)]
struct Summary {
    imported: u64,
    already_there: u64,
    skipped: u64,
    elapsed_ms: u64,
    /// The first of them.
    skipped_lines: Vec<Skipped>,
    /// Whether the server turned down any of them, rather than the reader.
    #[serde(skip)]
    refused: Option<String>,
}

impl Summary {
    fn add(&mut self, batch: Batch, tracked: Tracked) {
        self.imported += tracked.accepted;
        self.already_there += tracked.duplicates;
        self.skip(batch.skipped);
        let rejected = tracked.rejected.into_iter().map(|rejection| Skipped {
            line: batch.line_numbers.get(rejection.index).copied().unwrap_or_default(),
            reason: format!("{} ({})", rejection.detail, rejection.code),
        });
        let rejected: Vec<Skipped> = rejected.collect();
        if let (None, Some(first)) = (&self.refused, rejected.first()) {
            self.refused = Some(first.reason.clone());
        }
        self.skip(rejected);
    }

    /// Counts lines, and remembers the first of the log; batches may come back in any order.
    fn skip(&mut self, lines: Vec<Skipped>) {
        self.skipped += lines.len() as u64;
        self.skipped_lines.extend(lines);
        self.skipped_lines.sort_by_key(|skipped| skipped.line);
        self.skipped_lines.truncate(NAMED);
    }

    fn print(&self, json: bool) -> Result {
        if json {
            let text = serde_json::to_string(self).map_err(|error| Failure::new(error.to_string()))?;
            return Ok(say(&text)?);
        }
        for skipped in &self.skipped_lines {
            note(&format!("line {} skipped: {}", skipped.line, skipped.reason));
        }
        let more = self.skipped - self.skipped_lines.len() as u64;
        if more > 0 {
            note(&format!("and {more} more"));
        }
        Ok(say(&self.to_string())?)
    }

    /// Something must have come of it, unless there was nothing to read.
    fn verdict(&self) -> Result {
        if self.imported + self.already_there > 0 || self.skipped == 0 {
            return Ok(());
        }
        Err(match &self.refused {
            Some(reason) => Failure::new(format!("the server took none of the events: {reason}")),
            None => Failure::new("no line of it is a line of an access log"),
        })
    }

    fn cut_short(&self, why: &str) -> String {
        match self.imported + self.already_there {
            0 => why.to_owned(),
            taken => format!("{why}; {taken} events are in: run it again to go on, nothing is counted twice"),
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "imported {} events ({} already there, {} lines skipped) in {:.1} s",
            self.imported,
            self.already_there,
            self.skipped,
            self.elapsed_ms as f64 / 1000.0
        )
    }
}

/// A bar on standard error; nothing where that is no terminal.
struct Progress {
    bar: ProgressBar,
    bytes_read: Arc<AtomicU64>,
    started: Instant,
}

impl Progress {
    fn new(size: Option<u64>) -> Progress {
        let (bar, template) = match size {
            Some(size) => (ProgressBar::new(size), "{bar:40} {bytes}/{total_bytes}  {msg}  {eta} left"),
            None => (ProgressBar::new_spinner(), "{spinner} {bytes}  {msg}"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Progress { bar, bytes_read: Arc::default(), started: Instant::now() }
    }

    fn show(&self, summary: &Summary) {
        let events = summary.imported + summary.already_there;
        let rate = events as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        self.bar.set_position(self.bytes_read.load(Ordering::Relaxed));
        self.bar.set_message(format!("{events} events, {rate:.0}/s"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use angarium_client::{Client, Rejection};
    use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
    use std::{collections::HashSet, sync::Mutex};

    const LINE: &str =
        "1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"GET /a HTTP/1.1\" 200 5 \"-\" \"Agent/1.0\"\n";

    /// Knows ids; is busy at first, and never takes a path with `bad` in it.
    #[derive(Default)]
    struct Fake {
        ids: HashSet<String>,
        busy: u32,
    }

    async fn take(State(fake): State<Arc<Mutex<Fake>>>, body: String) -> axum::response::Response {
        let mut fake = fake.lock().unwrap();
        if fake.busy > 0 {
            fake.busy -= 1;
            return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response();
        }
        let mut tracked = Tracked::default();
        for (index, line) in body.lines().enumerate() {
            let event: angarium_client::Event = serde_json::from_str(line).unwrap();
            if event.params.unwrap().get().contains("bad") {
                let (code, detail) = ("bad_event".into(), "it is bad".into());
                tracked.rejected.push(Rejection { index, code, detail, pointer: None });
            } else if fake.ids.insert(event.id.unwrap()) {
                tracked.accepted += 1;
            } else {
                tracked.duplicates += 1;
            }
        }
        if tracked.accepted == 0 && !tracked.rejected.is_empty() {
            let problem = serde_json::json!({"status": 422, "code": "no_event_accepted", "detail": "none",
                "request_id": "req_1", "rejected": tracked.rejected});
            return (StatusCode::UNPROCESSABLE_ENTITY, problem.to_string()).into_response();
        }
        (StatusCode::ACCEPTED, serde_json::to_string(&tracked).unwrap()).into_response()
    }

    async fn connect(fake: Fake) -> Connection {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().route("/v1/apps/{app}/events", post(take));
        let routes = routes.with_state(Arc::new(Mutex::new(fake)));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Connection { client: Client::new(&url, Some("k")).unwrap().with_retry(PATIENCE), app: "app_1".into() }
    }

    async fn import(connection: &Connection, log: &str) -> (Result, Summary) {
        let recipe = Recipe { event_type: "http_request".into(), batch_lines: 3, device_salt: None };
        let input = Box::new(io::Cursor::new(log.as_bytes().to_vec()));
        let progress = Progress::new(None);
        let batches = read_batches(input, progress.bytes_read.clone(), recipe);
        let mut summary = Summary::default();
        let ended = send_batches(connection, batches, 2, &mut summary, &progress).await;
        (ended, summary)
    }

    #[tokio::test]
    async fn an_import_counts_each_line_once_however_often_it_runs() {
        let connection = connect(Fake { busy: 2, ..Fake::default() }).await;
        let log = LINE.repeat(10) + "no log line\n" + &LINE.replace("/a", "/bad");
        let (ended, summary) = import(&connection, &log).await;
        assert_eq!((ended, summary.verdict()), (Ok(()), Ok(())));
        assert_eq!(summary.to_string(), "imported 10 events (0 already there, 2 lines skipped) in 0.0 s");
        assert_eq!(
            summary.skipped_lines,
            [
                Skipped { line: 11, reason: "there is no [time]".into() },
                Skipped { line: 12, reason: "it is bad (bad_event)".into() },
            ]
        );
        let (ended, summary) = import(&connection, &log).await;
        assert_eq!((ended, summary.verdict()), (Ok(()), Ok(())));
        assert_eq!((summary.imported, summary.already_there, summary.skipped), (0, 10, 2));
    }

    #[tokio::test]
    async fn an_import_fails_only_if_nothing_came_of_it() {
        let connection = connect(Fake::default()).await;
        let verdict = async |log: &str| import(&connection, log).await.1.verdict();
        assert_eq!(verdict("").await, Ok(()));
        assert_eq!(
            verdict("one\ntwo words\n").await.unwrap_err().message,
            "no line of it is a line of an access log"
        );
        assert_eq!(
            verdict(&LINE.replace("/a", "/bad")).await.unwrap_err().message,
            "the server took none of the events: it is bad (bad_event)"
        );
    }

    #[tokio::test]
    async fn a_log_that_breaks_off_is_a_failure_that_says_what_is_in() {
        let connection = connect(Fake::default()).await;
        // The head of a gzip stream, and then nothing of it.
        let broken = "\u{1f}";
        let mut log = broken.as_bytes().to_vec();
        log.push(0x8b);
        let recipe = Recipe { event_type: "x".into(), batch_lines: 3, device_salt: None };
        let progress = Progress::new(None);
        let batches = read_batches(Box::new(io::Cursor::new(log)), progress.bytes_read.clone(), recipe);
        let mut summary = Summary { imported: 4, ..Summary::default() };
        let failure = send_batches(&connection, batches, 1, &mut summary, &progress).await.unwrap_err();
        assert!(failure.message.starts_with("the log cannot be read: "), "{failure}");
        assert!(
            summary
                .cut_short(&failure.message)
                .ends_with("; 4 events are in: run it again to go on, nothing is counted twice")
        );
    }
}
