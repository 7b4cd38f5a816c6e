//! Rows of the store, and what callers send and get.

use crate::rules::{Filter, LETTERS_MAX, RATE, RATE_MAX, instant, within};
use angarium_base::{AppId, RedriveId, Result, clock::Millis, error::INVALID_PARAMETER, time};
use angarium_kit::dead_letters::Letter;
use angarium_kit::http::Whole;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

/// A letter as a list has it: its body is left where it is.
#[derive(Clone, Debug)]
pub struct LetterRow {
    /// The app's own order.
    pub seq: i64,
    pub id: String,
    /// Without its body.
    pub letter: Letter,
    pub size_bytes: i64,
}

/// Where a redrive stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RedriveState")]
pub enum State {
    Running,
    Done,
    Stopped,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Done => "done",
            State::Stopped => "stopped",
        }
    }

    pub fn parse(text: &str) -> Option<State> {
        [State::Running, State::Done, State::Stopped].into_iter().find(|state| state.as_str() == text)
    }
}

/// A redrive of letters by a filter.
#[derive(Clone, Debug)]
pub struct RunRow {
    pub app: AppId,
    pub id: RedriveId,
    pub state: State,
    pub filter: Filter,
    pub rate: i64,
    pub max: Option<i64>,
    /// The next letter to look at, and the first that is none of its business.
    pub next_seq: i64,
    pub end_seq: i64,
    pub matched: i64,
    pub redriven: i64,
    pub failed: i64,
    pub started_at: Millis,
    pub ended_at: Option<Millis>,
}

impl RunRow {
    /// Letters that it may still run; `None`: all.
    pub fn left(&self) -> Option<i64> {
        self.max.map(|max| max - self.redriven)
    }
}

/// A dead letter: work that was given up.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
pub struct LetterView {
    pub id: String,
    /// What sort of work: `message`.
    pub kind: String,
    /// A stable name of the reason.
    pub code: String,
    /// The reason, for people.
    pub reason: String,
    pub attempts: i64,
    /// When it was first tried.
    #[schemars(extend("format" = "date-time"))]
    pub first_at: String,
    /// When it was given up.
    #[schemars(extend("format" = "date-time"))]
    pub last_at: String,
    /// The id of what was given up.
    pub source: String,
    /// The path at which it is found.
    pub link: String,
    /// Of the original.
    pub media_type: String,
    /// Of the original.
    pub size_bytes: i64,
}

impl From<LetterRow> for LetterView {
    fn from(row: LetterRow) -> LetterView {
        let letter = row.letter;
        LetterView {
            id: row.id,
            kind: letter.kind,
            code: letter.code,
            reason: letter.reason,
            attempts: letter.attempts,
            first_at: time::format(letter.first_at),
            last_at: time::format(letter.last_at),
            source: letter.source,
            link: letter.link,
            media_type: letter.media_type,
            size_bytes: row.size_bytes,
        }
    }
}

/// A dead letter with its original.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WholeDeadLetter")]
pub struct WholeLetter {
    #[serde(flatten)]
    pub letter: LetterView,
    /// The original, where it is JSON; its bytes are at `…/body` in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Value>")]
    pub body: Option<Box<RawValue>>,
}

impl From<LetterRow> for WholeLetter {
    fn from(mut row: LetterRow) -> WholeLetter {
        let body = std::mem::take(&mut row.letter.body);
        let body = is_json(&row.letter.media_type).then(|| serde_json::from_slice(&body).ok()).flatten();
        WholeLetter { letter: row.into(), body }
    }
}

fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// A page of dead letters.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterPage")]
pub struct LetterPage {
    pub items: Vec<LetterView>,
    /// Where to go on, or null at the end. A page under a filter may be short, or empty, and not be the last.
    pub next: Option<String>,
}

/// A letter that is due again.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RedrivenLetter")]
pub struct Redriven {
    pub id: String,
    pub kind: String,
    /// The id of what is due again: the one it had.
    pub source: String,
    pub link: String,
}

/// A redrive.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Redrive")]
pub struct RunView {
    pub id: String,
    pub state: State,
    pub kind: Option<String>,
    pub code: Option<String>,
    pub source: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    pub from: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    pub to: Option<String>,
    /// Letters a second.
    pub rate: i64,
    pub max: Option<i64>,
    /// Letters that the filter let through when it was asked for.
    pub matched: i64,
    pub redriven: i64,
    /// Letters that could not be run again, and stay.
    pub failed: i64,
    #[schemars(extend("format" = "date-time"))]
    pub started_at: String,
    #[schemars(extend("format" = "date-time"))]
    pub ended_at: Option<String>,
}

impl From<&RunRow> for RunView {
    fn from(run: &RunRow) -> RunView {
        let filter = &run.filter;
        RunView {
            id: run.id.to_string(),
            state: run.state,
            kind: given(&filter.kind),
            code: given(&filter.code),
            source: given(&filter.source),
            from: (filter.from != Millis::MIN).then(|| time::format(filter.from)),
            to: (filter.to != Millis::MAX).then(|| time::format(filter.to)),
            rate: run.rate,
            max: run.max,
            matched: run.matched,
            redriven: run.redriven,
            failed: run.failed,
            started_at: time::format(run.started_at),
            ended_at: run.ended_at.map(time::format),
        }
    }
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// A filter as the audit shows it.
pub fn filter_value(filter: &Filter) -> Value {
    json!({
        "kind": given(&filter.kind),
        "code": given(&filter.code),
        "source": given(&filter.source),
        "from": (filter.from != Millis::MIN).then(|| time::format(filter.from)),
        "to": (filter.to != Millis::MAX).then(|| time::format(filter.to)),
    })
}

/// A page of redrives.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RedrivePage")]
pub struct RunPage {
    pub items: Vec<RunView>,
    /// Where to go on, or null at the end.
    pub next: Option<String>,
}

/// How many letters a filter lets through.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterMatches")]
pub struct Matches {
    pub matches: i64,
}

/// What came of a request to delete.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeletedDeadLetters")]
pub struct Deleted {
    /// How many letters the filter lets through; of a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches: Option<i64>,
    pub deleted: usize,
    /// There may be more: ask again.
    pub more: bool,
}

/// Text of a filter: no control characters.
pub const TEXT_PATTERN: &str = r"^[^\u0000-\u001F\u007F]*$";

/// Which letters to run again, and how.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RedriveLetters")]
pub struct RedriveLetters {
    #[schemars(length(min = 1, max = 255), regex(pattern = TEXT_PATTERN))]
    pub kind: Option<String>,
    #[schemars(length(min = 1, max = 255), regex(pattern = TEXT_PATTERN))]
    pub code: Option<String>,
    #[schemars(length(min = 1, max = 255), regex(pattern = TEXT_PATTERN))]
    pub source: Option<String>,
    /// Given up at this instant or later.
    #[schemars(extend("format" = "date-time"))]
    pub from: Option<String>,
    /// Given up before this instant.
    #[schemars(extend("format" = "date-time"))]
    pub to: Option<String>,
    /// Only count them.
    #[serde(default)]
    pub dry_run: bool,
    /// Letters a second; 100 if not given.
    #[schemars(range(min = 1, max = 10_000))]
    pub rate: Option<Whole>,
    /// Letters at most.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max: Option<Whole>,
}

impl RedriveLetters {
    pub fn filter(&self) -> Result<Filter> {
        filter([&self.kind, &self.code, &self.source], [&self.from, &self.to])
    }

    pub fn rate(&self) -> Result<i64> {
        Ok(within("rate", self.rate, RATE_MAX)?.unwrap_or(RATE))
    }

    pub fn max(&self) -> Result<Option<i64>> {
        within("max", self.max, LETTERS_MAX)
    }
}

/// Which letters to delete.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeleteLetters")]
pub struct DeleteLetters {
    #[schemars(length(min = 1, max = 255), regex(pattern = TEXT_PATTERN))]
    pub kind: Option<String>,
    #[schemars(length(min = 1, max = 255), regex(pattern = TEXT_PATTERN))]
    pub code: Option<String>,
    #[schemars(length(min = 1, max = 255), regex(pattern = TEXT_PATTERN))]
    pub source: Option<String>,
    /// Given up at this instant or later.
    #[schemars(extend("format" = "date-time"))]
    pub from: Option<String>,
    /// Given up before this instant.
    #[schemars(extend("format" = "date-time"))]
    pub to: Option<String>,
    /// Says that every letter is meant, where nothing else is said.
    #[serde(default)]
    pub all: bool,
    /// Only count them.
    #[serde(default)]
    pub dry_run: bool,
}

impl DeleteLetters {
    pub fn filter(&self) -> Result<Filter> {
        let filter = filter([&self.kind, &self.code, &self.source], [&self.from, &self.to])?;
        if filter.is_open() && !self.all && !self.dry_run {
            let what = "nothing says which letters are meant; say `\"all\": true`, if all of them are";
            return Err(INVALID_PARAMETER.err(what));
        }
        Ok(filter)
    }
}

fn filter(texts: [&Option<String>; 3], [from, to]: [&Option<String>; 2]) -> Result<Filter> {
    if texts.iter().any(|text| text.as_deref() == Some("")) {
        // Often a variable that was not set.
        return Err(INVALID_PARAMETER
            .err("`kind`, `code` and `source` are no empty texts; leave out what does not matter"));
    }
    Filter::new(
        texts.map(Option::as_deref),
        [instant("from", from.as_deref())?, instant("to", to.as_deref())?],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_original_is_shown_where_it_is_json_and_only_there() {
        let of = |media_type: &str, body: &[u8]| {
            let letter = Letter {
                kind: "message".into(),
                code: "refused".into(),
                reason: "no".into(),
                attempts: 3,
                first_at: 0,
                last_at: 1,
                source: "msg_1".into(),
                link: "/m".into(),
                media_type: media_type.into(),
                body: body.to_vec(),
            };
            let row = LetterRow { seq: 1, id: "dead_1".into(), letter, size_bytes: body.len() as i64 };
            serde_json::to_value(WholeLetter::from(row)).unwrap()
        };
        let json = of("application/json; charset=utf-8", br#"{"a": 1.0}"#);
        assert_eq!((&json["body"]["a"], &json["kind"]), (&json!(1.0), &json!("message")));
        assert_eq!(of("application/ld+json", b"[]")["body"], json!([]));
        for (media_type, body) in [("application/json", &b"{"[..]), ("text/plain", b"1"), ("", b"\xff")] {
            assert!(of(media_type, body).get("body").is_none(), "{media_type}");
        }
    }
}
