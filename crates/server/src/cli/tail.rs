//! `angarium tail`: what happens, while it happens.
//!
//! The feed is opened again when it breaks, after the last place it named, so a restart of the server costs
//! nothing. What the server dropped because this reader was slow is said on standard error.

use super::{
    connection::{Connection, ConnectionArgs},
    failure::Result,
    output::{Output, Pipe, interrupted, note},
    record_line::{self, LineFormat},
    table::printable,
};
use angarium_client::{
    Error, LiveFeed, LiveFrame, LiveQuery, Record,
    live::{Gap, LiveRecord},
};
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::time::sleep;

#[derive(clap::Args)]
pub struct TailArgs {
    /// The streams, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "events")]
    pub streams: Vec<String>,
    /// Only events of this type
    #[arg(long = "type")]
    pub event_type: Option<String>,
    #[arg(long, value_enum, default_value = "pretty")]
    pub format: TailFormat,
    /// The same as --format json
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TailFormat {
    /// `type meta params`, both as query strings; a record that is no event as its JSON
    Line,
    /// {"stream", "cursor", "at", "data"}
    Json,
    /// Time, type and parameters, for people
    Pretty,
}

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

pub async fn run(args: TailArgs) -> Result {
    let connection = args.connection.connect().await?;
    let output = Output::stdout();
    tokio::select! {
        ended = tail(&args, &connection, &output) => ended,
        () = interrupted() => Ok(()),
    }
}

/// Prints frames until the pipe closes; an error is one that waiting does not mend.
async fn tail(args: &TailArgs, connection: &Connection, output: &Output) -> Result {
    let mut query =
        LiveQuery { streams: args.streams.clone(), event_type: args.event_type.clone(), after: None };
    // The first connection says at once what is wrong; later ones are waited for.
    let mut feed = connection.client.live(&connection.app, &query).await?;
    loop {
        let broke = match print_frames(args, &mut feed, output).await? {
            Ended::PipeClosed => return Ok(()),
            Ended::FeedBroke(why) => why,
        };
        query.after = feed.cursor().map(str::to_owned);
        note(&format!("{broke}; connecting again"));
        feed = reopen(connection, &query).await?;
    }
}

enum Ended {
    PipeClosed,
    FeedBroke(String),
}

async fn print_frames(args: &TailArgs, feed: &mut LiveFeed, output: &Output) -> Result<Ended> {
    let format = if args.json { TailFormat::Json } else { args.format };
    loop {
        let text = match feed.next().await {
            Ok(Some(LiveFrame::Record(record))) => text(record, format),
            Ok(Some(LiveFrame::Gap(gap))) => {
                note(&gap_note(&gap));
                continue;
            }
            Ok(None) => return Ok(Ended::FeedBroke("the server ended the feed".into())),
            Err(error @ Error::Unreachable { .. }) => return Ok(Ended::FeedBroke(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        if output.write(text).await? == Pipe::Closed {
            return Ok(Ended::PipeClosed);
        }
    }
}

async fn reopen(connection: &Connection, query: &LiveQuery) -> Result<LiveFeed> {
    let mut wait = FIRST_WAIT;
    loop {
        sleep(wait).await;
        match connection.client.live(&connection.app, query).await {
            Ok(feed) => return Ok(feed),
            Err(error) if is_passing(&error) => wait = (wait * 2).min(LONGEST_WAIT),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether waiting may mend it.
pub fn is_passing(error: &Error) -> bool {
    matches!(error, Error::Unreachable { .. })
        || error.status().is_some_and(|status| status == 429 || status >= 500)
}

fn gap_note(gap: &Gap) -> String {
    let dropped = format!("gap: {} records are not shown, this reader was too slow", gap.gap);
    match &gap.cursor {
        Some(cursor) => format!("{dropped}; the feed goes on after cursor {cursor}"),
        None => dropped,
    }
}

fn text(live: LiveRecord, format: TailFormat) -> Vec<u8> {
    let mut out = Vec::new();
    if format == TailFormat::Json {
        let json = serde_json::to_string(&live).unwrap_or_else(|_| live.data.get().to_owned());
        record_line::push_json(&mut out, &json);
        out.push(b'\n');
        return out;
    }
    let record = Record { cursor: live.cursor, at: live.at, data: live.data };
    match format {
        TailFormat::Pretty => push_pretty(&mut out, &live.stream, &record),
        _ => record_line::push(&mut out, &record, LineFormat::Line),
    }
    out
}

/// `10:05:03.120  signup  plan=pro n=1`, or the stream and the JSON of what is no event.
fn push_pretty(out: &mut Vec<u8>, stream: &str, record: &Record) {
    let time = record.at.get(11..23).unwrap_or(&record.at);
    match record_line::event(record) {
        Some(event) => {
            let params = event.params.and_then(|json| serde_json::from_str(json.get()).ok());
            let params: Map<String, Value> = params.unwrap_or_default();
            out.extend_from_slice(format!("{time}  {}", printable(&event.event_type)).as_bytes());
            for (index, (key, value)) in params.iter().enumerate() {
                let gap = if index == 0 { "  " } else { " " };
                out.extend_from_slice(format!("{gap}{}={}", printable(key), shown(value)).as_bytes());
            }
        }
        None => {
            out.extend_from_slice(format!("{time}  {stream}  ").as_bytes());
            record_line::push_json(out, record.data.get());
        }
    }
    out.push(b'\n');
}

/// Text without quotes where it needs none, else JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains([' ', '"']) => printable(text),
        other => printable(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use angarium_client::Client;
    use axum::{Router, extract::RawQuery, routing::get};
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    fn frame(n: u32) -> String {
        format!(
            "id: c{n}\ndata: {{\"stream\":\"events\",\"cursor\":\"c{n}\",\"at\":\"2026-01-01T10:05:03.120Z\",\"data\":\
             {{\"type\":\"click\",\"received_at\":\"2026-01-01T10:05:03.100Z\",\"params\":{{\"n\":{n},\"t\":\"a b\",\"x\":\"\\u001b[2J\"}},\"meta\":{{}}}}}}\n\n"
        )
    }

    /// Takes two lines and is gone at the third.
    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut screen = self.0.lock().unwrap();
            if screen.lines().count() >= 2 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            screen.push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_feed_that_breaks_goes_on_after_its_last_place() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let feed = async |RawQuery(query): RawQuery| match query.as_deref() {
            Some("streams=events") => format!(": hello\n\n{}", frame(1)),
            Some("streams=events&after=c1") => frame(2) + "event: gap\ndata: {\"gap\":5}\n\n" + &frame(3),
            other => panic!("{other:?}"),
        };
        let routes = Router::new().route("/v1/apps/app_1/live", get(feed));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let connection = Connection { client: Client::new(&url, None).unwrap(), app: "app_1".into() };
        let args = TailArgs {
            streams: vec!["events".into()],
            event_type: None,
            format: TailFormat::Pretty,
            json: false,
            connection: ConnectionArgs { url: Some(url), ..ConnectionArgs::default() },
        };
        let screen = Screen::default();
        tail(&args, &connection, &Output::to(screen.clone())).await.unwrap();
        assert_eq!(
            *screen.0.lock().unwrap(),
            "10:05:03.120  click  n=1 t=\"a b\" x=\\u{1b}[2J\n10:05:03.120  click  n=2 t=\"a b\" x=\\u{1b}[2J\n"
        );
    }
}
