//! Says so when events that match a pattern come too often: five failed log-ins within a minute, say.
//!
//! ```text
//! ANGARIUM_KEY=ang_sk_… cargo run --package angarium-client --example alert_on_pattern -- \
//!     --pattern '*"status":404*' --more-than 20 --within 60
//! ```
//!
//! The pattern is matched against an event's JSON; `*` stands for anything, and a pattern without one is
//! looked for anywhere. The feed is live: it is opened again after its last place when it breaks.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

use angarium_client::{Client, LiveFrame, LiveQuery};
use clap::Parser;
use std::{
    collections::VecDeque,
    error::Error,
    time::{Duration, Instant},
};

#[derive(Parser)]
struct Args {
    #[arg(long, env = "ANGARIUM_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    #[arg(long, env = "ANGARIUM_KEY", hide_env_values = true)]
    key: String,
    /// The app, by id or bundle id [default: the first app of the key]
    #[arg(long)]
    app: Option<String>,
    /// Only events of this type
    #[arg(long = "type")]
    event_type: Option<String>,
    /// Part of an event's JSON, or a pattern for all of it with *
    #[arg(long)]
    pattern: String,
    #[arg(long, default_value_t = 5)]
    more_than: usize,
    /// Seconds
    #[arg(long, default_value_t = 60)]
    within: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let client = Client::new(&args.url, Some(&args.key))?;
    let app = match &args.app {
        Some(app) => app.clone(),
        None => client.list_apps().await?.into_iter().next().ok_or("this key has no app")?.id,
    };
    let mut alarm = Alarm::new(args.more_than, Duration::from_secs(args.within));
    let mut query = LiveQuery { streams: vec!["events".into()], event_type: args.event_type, after: None };
    loop {
        let mut feed = client.live(&app, &query).await?;
        while let Ok(Some(frame)) = feed.next().await {
            match frame {
                LiveFrame::Record(record) if matches(&args.pattern, record.data.get()) => {
                    if let Some(count) = alarm.ring(Instant::now()) {
                        println!(
                            "{}  {count} events like {} within {} s",
                            record.at, args.pattern, args.within
                        );
                    }
                }
                LiveFrame::Record(_) => {}
                LiveFrame::Gap(gap) => eprintln!("{} events were missed", gap.gap),
            }
        }
        query.after = feed.cursor().map(str::to_owned);
        eprintln!("the feed broke; connecting again");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// When the last matches were; it keeps no more of them than it needs to tell.
struct Alarm {
    more_than: usize,
    within: Duration,
    times: VecDeque<Instant>,
}

impl Alarm {
    fn new(more_than: usize, within: Duration) -> Alarm {
        Alarm { more_than, within, times: VecDeque::new() }
    }

    /// Counts a match; returns how many there were if they are too many, and starts over.
    fn ring(&mut self, now: Instant) -> Option<usize> {
        while self.times.front().is_some_and(|&first| now - first > self.within) {
            self.times.pop_front();
        }
        self.times.push_back(now);
        let count = self.times.len();
        (count > self.more_than).then(|| {
            self.times.clear();
            count
        })
    }
}

/// Whether `pattern` matches: all of `text` if it has a `*`, any part of it otherwise.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return text.contains(pattern) };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    // What follows the last star must be the end; what is between stars is found from left to right.
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, text, expected) in [
            ("b", "abc", true),
            ("x", "abc", false),
            ("a*c", "abc", true),
            ("a*b", "abc", false),
            ("*b*", "abc", true),
            ("*", "", true),
            ("a*bc*bc", "abc", false),
            ("a*b*c", "a-b-b-c", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn the_alarm_rings_once_for_each_burst() {
        let (start, mut alarm) = (Instant::now(), Alarm::new(2, Duration::from_secs(10)));
        let rings = [0, 11, 12, 13, 14, 15, 16].map(|s| alarm.ring(start + Duration::from_secs(s)).is_some());
        assert_eq!(rings, [false, false, false, true, false, false, true]);
    }
}
