//! The Rust client of Angarium: one method per operation of the HTTP API, named like the operation.
//!
//! ```text
//! let client = Client::new("http://127.0.0.1:8080", Some(key))?;
//! let event = Event::new("signup").with_params(&json!({"plan": "pro"}))?.with_new_id();
//! let tracked = client.track_events("com.acme.shop", &[event]).await?;
//! ```
//!
//! | Module | Operations |
//! |---|---|
//! | [`apps`] | [`Client::list_apps`] |
//! | [`events`] | [`Client::track_events`] |
//! | [`streams`] | [`Client::list_streams`], [`Client::read_records`], [`Client::poll_group`], [`Client::commit_group`], [`Client::show_group`] |
//! | [`live`] | [`Client::live`] |
//! | [`health`] | [`Client::health`] |
//! | [`processes`] | [`Client::list_processes`] |
//!
//! What holds for all of them:
//!
//! - `app` is the app's id or its `bundle_id`.
//! - A call that may be repeated without harm is repeated, within [`Retry`], when the server asks for it
//!   (429 and 503 with `Retry-After`) or gives no answer. Every other call is sent once.
//! - Every call ends: connecting, answering and silence on a live feed each have their time.
//! - Payloads are not parsed: `data` and `params` are [`serde_json::value::RawValue`].
//! - Instants are RFC 3339 text, as the server wrote them.

pub mod apps;
pub mod error;
pub mod events;
pub mod health;
pub mod live;
pub mod processes;
pub mod retry;
mod sse;
pub mod streams;
mod transport;

pub use apps::App;
pub use error::{Error, Problem, Result};
pub use events::{Event, Rejection, Tracked};
pub use health::Health;
pub use live::{LiveFeed, LiveFrame, LiveQuery};
pub use processes::Process;
pub use retry::Retry;
pub use streams::{Group, GroupBatch, GroupLag, PollGroup, ReadRecords, Record, RecordPage, StreamSummary};
pub use transport::Client;
