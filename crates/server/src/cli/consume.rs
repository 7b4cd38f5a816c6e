//! `angarium consume`: a stream on standard output, as a consumer group.
//!
//! ```text
//!  poll ─▶ write and flush ─▶ commit        (and again)
//!           └▶ the pipe is closed: end without committing
//! ```
//!
//! Nothing is committed before the pipe took it, so whatever kills this process, what it did not hand on
//! comes again: at least once.

use super::{
    connection::{Connection, ConnectionArgs},
    failure::{Failure, Result},
    output::{Output, Pipe, interrupted, note},
    record_line::{self, LineFormat},
};
use angarium_client::{Error, GroupBatch, PollGroup};
use std::{pin::pin, time::Duration};
use tokio::time::{Instant, sleep};

#[derive(clap::Args)]
pub struct ConsumeArgs {
    /// The stream, like events or messages
    #[arg(long, default_value = "events")]
    pub stream: String,
    /// The group that remembers how far it got
    #[arg(long, default_value = "cli")]
    pub group: String,
    #[arg(long, value_enum, default_value = "line")]
    pub format: LineFormat,
    /// The same as --format json
    #[arg(long)]
    pub json: bool,
    /// End after this many records
    #[arg(long)]
    pub max: Option<u64>,
    /// Wait for more at the end of the stream
    #[arg(long)]
    pub follow: bool,
    /// A name for this reader; give each its own when several take turns in one group
    #[arg(long)]
    pub consumer: Option<String>,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Records taken at once: small enough to be written well within the lease of a group (30 s).
const BATCH: u32 = 500;
const FOLLOW_WAIT: Duration = Duration::from_secs(20);
/// How often to ask for a group that somebody else reads.
const LEASED_WAIT: Duration = Duration::from_millis(500);
/// How long to ask before giving up, when not following; longer than a dead reader's lease.
const LEASED_PATIENCE: Duration = Duration::from_secs(60);

pub async fn run(args: ConsumeArgs) -> Result {
    let connection = args.connection.connect().await?;
    consume(&args, &connection, &Output::stdout(), interrupted()).await
}

/// Ends at the end of the stream, after `--max` records, when the pipe closes, or when `stop` completes.
async fn consume(
    args: &ConsumeArgs,
    connection: &Connection,
    output: &Output,
    stop: impl Future<Output = ()>,
) -> Result {
    let format = if args.json { LineFormat::Json } else { args.format };
    let mut reader = Reader::new(args, connection);
    let mut left = args.max.unwrap_or(u64::MAX);
    let mut stop = pin!(stop);
    while left > 0 {
        let taken = tokio::select! {
            biased;
            () = &mut stop => break,
            taken = reader.take(left) => taken?,
        };
        let Some(batch) = taken else { break };
        if batch.expired > 0 {
            note(&format!("{} records expired before group {} had read them", batch.expired, args.group));
        }
        // The server may hand out again a batch that was larger than what is left.
        let records = &batch.items[..batch.items.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        let Some(last) = records.last() else { continue };
        let mut text = Vec::with_capacity(records.len() * 256);
        for record in records {
            record_line::push(&mut text, record, format);
        }
        let pipe = tokio::select! {
            biased;
            () = &mut stop => break,
            pipe = output.write(text) => pipe?,
        };
        if pipe == Pipe::Closed {
            break;
        }
        while !reader.commit(&last.cursor).await? {
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                () = sleep(LEASED_WAIT) => {}
            }
        }
        left -= records.len() as u64;
    }
    Ok(())
}

/// One reader of the group, and how long it has been kept waiting.
struct Reader<'a> {
    args: &'a ConsumeArgs,
    connection: &'a Connection,
    leased_since: Option<Instant>,
    /// The server does not answer as it should, which has been said.
    unreachable: bool,
}

impl<'a> Reader<'a> {
    fn new(args: &'a ConsumeArgs, connection: &'a Connection) -> Reader<'a> {
        Reader { args, connection, leased_since: None, unreachable: false }
    }

    /// The next records, at most `left`; `None` at the end of the stream. Empty when there is none yet.
    async fn take(&mut self, left: u64) -> Result<Option<GroupBatch>> {
        let Connection { client, app } = self.connection;
        let poll = PollGroup {
            max: u32::try_from(left).unwrap_or(BATCH).min(BATCH),
            wait: if self.args.follow { FOLLOW_WAIT } else { Duration::ZERO },
            consumer: self.args.consumer.clone(),
        };
        match client.poll_group(app, &self.args.stream, &self.args.group, &poll).await {
            Ok(batch) if batch.items.is_empty() && batch.lag > 0 => self.wait_for_lease().await,
            Ok(batch) if batch.items.is_empty() && !self.args.follow => Ok(None),
            Ok(batch) => {
                self.unreachable = false;
                self.leased_since = None;
                Ok(Some(batch))
            }
            Err(error) if error.code() == Some("group_leased") => self.wait_for_lease().await,
            Err(error) => {
                self.outlast(error)?;
                sleep(LEASED_WAIT).await;
                Ok(Some(GroupBatch { items: Vec::new(), cursor: None, lag: 0, expired: 0 }))
            }
        }
    }

    /// Whoever follows stays through a restart of the server, and of what it stands on; says so once.
    fn outlast(&mut self, error: Error) -> Result {
        if !self.args.follow || !passes(&error) {
            return Err(error.into());
        }
        if !std::mem::replace(&mut self.unreachable, true) {
            note(&format!("{error}; trying again until it answers"));
        }
        Ok(())
    }

    /// Lets another reader of the group go on for a moment.
    async fn wait_for_lease(&mut self) -> Result<Option<GroupBatch>> {
        let group = &self.args.group;
        let since = *self.leased_since.get_or_insert_with(|| {
            note(&format!("another consumer reads for group {group}; waiting for it"));
            Instant::now()
        });
        if !self.args.follow && since.elapsed() > LEASED_PATIENCE {
            return Err(Failure::new(format!("another consumer still reads for group {group}")));
        }
        sleep(LEASED_WAIT).await;
        Ok(Some(GroupBatch { items: Vec::new(), cursor: None, lag: 0, expired: 0 }))
    }

    /// Whether it is done; if not, it is worth another try.
    async fn commit(&mut self, cursor: &str) -> Result<bool> {
        let Connection { client, app } = self.connection;
        let ConsumeArgs { stream, group, consumer, .. } = self.args;
        match client.commit_group(app, stream, group, cursor, consumer.as_deref()).await {
            Ok(_) => Ok(true),
            // Going on could print the same for ever.
            Err(error) if error.code() == Some("commit_out_of_range") => Err(Failure::new(format!(
                "what was printed last is not committed: {error}; if several read for group {group}, \
                 give each a --consumer of its own"
            ))),
            Err(error) => self.outlast(error).map(|()| false),
        }
    }
}

/// Whether the server, or something before it, is away for a while.
fn passes(error: &Error) -> bool {
    let busy = |status| matches!(status, 429 | 502 | 503 | 504);
    matches!(error, Error::Unreachable { .. })
        || error.problem().is_some_and(|problem| busy(problem.status) && problem.code != "role_missing")
}

#[cfg(test)]
mod tests {
    use super::*;
    use angarium_client::Client;
    use axum::{
        Router,
        extract::{Path, State},
        http::StatusCode,
        response::{IntoResponse, Response},
        routing::post,
    };
    use serde_json::{Value, json};
    use std::{
        future::pending,
        io::{self, Write},
        sync::{Arc, Mutex, MutexGuard},
    };

    /// A stream of numbers and its one group, and a pipe; what happens is noted in order.
    #[derive(Clone, Default)]
    struct World(Arc<Mutex<Happenings>>);

    #[derive(Default)]
    struct Happenings {
        records: u64,
        committed: u64,
        /// Polls that are answered with "leased" before the first batch.
        leased: u32,
        /// Whether commits are turned down.
        refuses: bool,
        /// Bytes the pipe takes before its reader leaves.
        room: Option<usize>,
        printed: String,
        happened: Vec<String>,
    }

    impl World {
        fn new(records: u64) -> World {
            let world = World::default();
            world.lock().records = records;
            world
        }

        fn lock(&self) -> MutexGuard<'_, Happenings> {
            self.0.lock().unwrap()
        }

        fn lines(&self) -> Vec<String> {
            self.lock().printed.lines().map(str::to_owned).collect()
        }

        async fn consume(&self, args: &ConsumeArgs, stop: impl Future<Output = ()>) -> Result {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let routes =
                Router::new().route("/v1/apps/{app}/streams/{stream}/groups/{group}/{verb}", post(answer));
            let routes = routes.with_state(self.clone());
            tokio::spawn(async move { axum::serve(listener, routes).await });
            let client = Client::new(&url, Some("k")).unwrap();
            let connection = Connection { client, app: "app_1".into() };
            consume(args, &connection, &Output::to(self.clone()), stop).await
        }
    }

    impl Write for World {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut world = self.lock();
            if world.room.is_some_and(|room| room < world.printed.len() + bytes.len()) {
                world.happened.push("broken pipe".into());
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            world.printed.push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            let mut world = self.lock();
            let lines = world.printed.lines().count();
            world.happened.push(format!("printed {lines}"));
            Ok(())
        }
    }

    type Place = (String, String, String, String);

    async fn answer(
        State(world): State<World>,
        Path((_, _, _, verb)): Path<Place>,
        body: String,
    ) -> Response {
        let body: Value = serde_json::from_str(&body).unwrap();
        let mut world = world.lock();
        if verb == "commit" && world.refuses {
            return (StatusCode::CONFLICT, json!({"code": "commit_out_of_range"}).to_string())
                .into_response();
        }
        if verb == "commit" {
            world.committed = body["cursor"].as_str().unwrap().parse().unwrap();
            let committed = world.committed;
            world.happened.push(format!("committed {committed}"));
            let lag = world.records - committed;
            return json!({"cursor": body["cursor"], "lag": lag}).to_string().into_response();
        }
        if world.leased > 0 {
            world.leased -= 1;
            return (StatusCode::CONFLICT, json!({"code": "group_leased"}).to_string()).into_response();
        }
        let (from, max) = (world.committed, body["max"].as_u64().unwrap());
        let to = world.records.min(from + max);
        let items: Vec<Value> = (from + 1..=to)
            .map(|n| json!({"cursor": n.to_string(), "at": "2026-01-01T00:00:00.000Z", "data": n}))
            .collect();
        json!({"items": items, "cursor": to.to_string(), "lag": world.records - from})
            .to_string()
            .into_response()
    }

    fn args(max: Option<u64>, follow: bool) -> ConsumeArgs {
        ConsumeArgs {
            stream: "events".into(),
            group: "cli".into(),
            format: LineFormat::Line,
            json: false,
            max,
            follow,
            consumer: None,
            connection: ConnectionArgs::default(),
        }
    }

    #[tokio::test]
    async fn everything_is_printed_before_it_is_committed() {
        let world = World::new(1_200);
        world.consume(&args(None, false), pending()).await.unwrap();
        assert_eq!(world.lines().len(), 1_200);
        assert_eq!(
            world.lock().happened,
            [
                "printed 500",
                "committed 500",
                "printed 1000",
                "committed 1000",
                "printed 1200",
                "committed 1200"
            ]
        );
    }

    #[tokio::test]
    async fn exactly_as_many_as_asked_are_printed_and_committed() {
        let world = World::new(1_200);
        world.consume(&args(Some(3), false), pending()).await.unwrap();
        world.consume(&args(Some(502), true), pending()).await.unwrap();
        assert_eq!(world.lines().len(), 505);
        assert_eq!(world.lines().last().map(String::as_str), Some("505"));
        assert_eq!(world.lock().committed, 505);
    }

    #[tokio::test]
    async fn what_a_closed_pipe_did_not_take_comes_again() {
        let world = World::new(1_200);
        world.lock().room = Some(3_000);
        world.consume(&args(None, false), pending()).await.unwrap();
        assert_eq!(world.lock().happened, ["printed 500", "committed 500", "broken pipe"]);
        world.lock().room = None;
        world.consume(&args(None, false), pending()).await.unwrap();
        assert_eq!(world.lines(), (1..=1_200).map(|n: u32| n.to_string()).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn whoever_follows_waits_at_the_end_until_stopped() {
        let world = World::new(3);
        let waits = world.clone();
        let stop = async move {
            while waits.lock().committed < 3 {
                tokio::task::yield_now().await;
            }
        };
        world.consume(&args(None, true), stop).await.unwrap();
        assert_eq!(world.lines(), ["1", "2", "3"]);
    }

    #[tokio::test]
    async fn a_commit_that_is_turned_down_is_the_end() {
        let world = World::new(2);
        world.lock().refuses = true;
        let failure = world.consume(&args(None, true), pending()).await.unwrap_err();
        assert!(failure.message.starts_with("what was printed last is not committed: "), "{failure}");
        assert_eq!(world.lines(), ["1", "2"]);
    }

    #[tokio::test]
    async fn a_group_that_another_reads_is_waited_for() {
        let world = World::new(2);
        world.lock().leased = 1;
        world.consume(&args(None, false), pending()).await.unwrap();
        assert_eq!(world.lines(), ["1", "2"]);
    }
}
