//! What was given up in an app, and how it is run again.

use crate::{
    Client, Page, Result,
    transport::{CALL_TIMEOUT, Call},
};
use bytes::Bytes;
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;

/// Work that was given up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Names the letter.
    pub id: String,
    /// What sort of work: `message`.
    pub kind: String,
    /// A stable name of the reason.
    pub code: String,
    /// The reason, for people.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u64,
    /// When it was first tried, RFC 3339.
    pub first_at: String,
    /// When it was given up, RFC 3339.
    pub last_at: String,
    /// The id of what was given up.
    pub source: String,
    /// The path at which that is found.
    pub link: String,
    /// Of the original.
    pub media_type: String,
    /// Of the original.
    pub size_bytes: u64,
    /// The original, where it is JSON; only of a letter that is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Box<RawValue>>,
}

/// Which letters are meant; what is `None` is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeadLetterFilter {
    /// Only letters of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only letters given up for this reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Only the letter of what has this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Given up at this instant or later, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Given up before this instant, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A letter that is due again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedrivenLetter {
    /// The letter's.
    pub id: String,
    /// The letter's.
    pub kind: String,
    /// The id of what is due again: the one it had.
    pub source: String,
    /// The path at which that is found.
    pub link: String,
}

/// A redrive of letters by a filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redrive {
    /// Names the redrive.
    pub id: String,
    /// `running`, `done` or `stopped`.
    pub state: String,
    /// What was asked for; `None`: any.
    pub kind: Option<String>,
    /// What was asked for; `None`: any.
    pub code: Option<String>,
    /// What was asked for; `None`: any.
    pub source: Option<String>,
    /// What was asked for, RFC 3339.
    pub from: Option<String>,
    /// What was asked for, RFC 3339.
    pub to: Option<String>,
    /// Letters a second.
    pub rate: u32,
    /// Letters at most; `None`: all.
    pub max: Option<u64>,
    /// Letters that the filter let through when it was asked for.
    pub matched: u64,
    /// Letters that it has run again.
    pub redriven: u64,
    /// Letters that could not be run again, and stay.
    pub failed: u64,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339; `None` while it runs.
    pub ended_at: Option<String>,
}

/// How a redrive goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedrivePace {
    /// Letters a second, 1 to 10,000; `None` is the server's 100.
    pub rate: Option<u32>,
    /// Letters at most; `None`: all.
    pub max: Option<u64>,
}

/// What came of deleting by a filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedLetters {
    /// How many letters are gone.
    pub deleted: u64,
    /// There may be more: ask again.
    pub more: bool,
}

#[derive(Serialize)]
struct Asked<'a> {
    #[serde(flatten)]
    filter: &'a DeadLetterFilter,
    dry_run: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    all: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<u64>,
}

impl<'a> Asked<'a> {
    fn of(filter: &'a DeadLetterFilter, dry_run: bool) -> Asked<'a> {
        Asked { filter, dry_run, all: false, rate: None, max: None }
    }
}

#[derive(Deserialize)]
struct Matches {
    matches: u64,
}

impl Client {
    fn dead_letters_url(&self, app: &str, rest: &[&str]) -> Url {
        self.url(&[&["v1", "apps", app, "dead-letters"], rest].concat())
    }

    /// A page of letters after a cursor, in the order in which they were given up; 1 to 1000 of them. Under a filter a
    /// page may be short, or empty, and not be the last: go on until `next` is `None`.
    pub async fn list_dead_letters(
        &self,
        app: &str,
        filter: &DeadLetterFilter,
        after: Option<&str>,
        limit: Option<u32>,
    ) -> Result<Page<DeadLetter>> {
        let mut url = self.dead_letters_url(app, &[]);
        for (name, value) in [
            ("kind", filter.kind.clone()),
            ("code", filter.code.clone()),
            ("source", filter.source.clone()),
            ("from", filter.from.clone()),
            ("to", filter.to.clone()),
            ("after", after.map(str::to_owned)),
            ("limit", limit.map(|n| n.to_string())),
        ] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        self.get(url, Duration::ZERO).await
    }

    /// A letter, with its original where that is JSON.
    pub async fn show_dead_letter(&self, app: &str, id: &str) -> Result<DeadLetter> {
        self.get(self.dead_letters_url(app, &[id]), Duration::ZERO).await
    }

    /// The original of a letter, as it came.
    pub async fn show_dead_letter_body(&self, app: &str, id: &str) -> Result<Bytes> {
        let url = self.dead_letters_url(app, &[id, "body"]);
        Ok(self.answer(Call::of(Method::GET, url, CALL_TIMEOUT)).await?.body)
    }

    /// Makes the work of a letter due again. Done once however often it is sent; `once` as in [`Client::create_app`].
    pub async fn redrive_dead_letter(
        &self,
        app: &str,
        id: &str,
        once: Option<&str>,
    ) -> Result<RedrivenLetter> {
        self.create(self.dead_letters_url(app, &[id, "redrive"]), &serde_json::json!({}), once).await
    }

    /// How many letters a redrive by this filter would run again.
    pub async fn count_dead_letters(&self, app: &str, filter: &DeadLetterFilter) -> Result<u64> {
        let url = self.dead_letters_url(app, &["redrive"]);
        let counted: Matches = self.post(url, &Asked::of(filter, true), Duration::ZERO).await?;
        Ok(counted.matches)
    }

    /// Runs the letters again that are there now, in the background. Asked for once however often it is sent; `once` as
    /// in [`Client::create_app`].
    pub async fn redrive_dead_letters(
        &self,
        app: &str,
        filter: &DeadLetterFilter,
        pace: &RedrivePace,
        once: Option<&str>,
    ) -> Result<Redrive> {
        let asked = Asked { rate: pace.rate, max: pace.max, ..Asked::of(filter, false) };
        self.create(self.dead_letters_url(app, &["redrive"]), &asked, once).await
    }

    /// The app's redrives, in the order in which they were asked for, page by page until the last.
    pub async fn list_redrives(&self, app: &str) -> Result<Vec<Redrive>> {
        self.list_all(self.dead_letters_url(app, &["redrives"])).await
    }

    /// How far a redrive is.
    pub async fn show_redrive(&self, app: &str, id: &str) -> Result<Redrive> {
        self.get(self.dead_letters_url(app, &["redrives", id]), Duration::ZERO).await
    }

    /// Stops a redrive; one that has ended stays as it is.
    pub async fn stop_redrive(&self, app: &str, id: &str) -> Result<Redrive> {
        let url = self.dead_letters_url(app, &["redrives", id, "stop"]);
        self.post(url, &serde_json::json!({}), Duration::ZERO).await
    }

    /// Deletes a letter.
    pub async fn delete_dead_letter(&self, app: &str, id: &str) -> Result<()> {
        self.delete(self.dead_letters_url(app, &[id])).await
    }

    /// Deletes letters by a filter, all of them if it names nothing; 10,000 a call at most.
    pub async fn delete_dead_letters(&self, app: &str, filter: &DeadLetterFilter) -> Result<DeletedLetters> {
        let url = self.dead_letters_url(app, &["delete"]);
        let all = *filter == DeadLetterFilter::default();
        self.create(url, &Asked { all, ..Asked::of(filter, false) }, None).await
    }
}
