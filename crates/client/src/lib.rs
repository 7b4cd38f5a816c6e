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
//! | [`apps`] | [`Client::show_identity`], [`Client::list_apps`], [`Client::create_app`], [`Client::show_app`], [`Client::change_app`], [`Client::delete_app`] |
//! | [`grants`] | [`Client::list_grants`], [`Client::create_grant`], [`Client::show_grant`], [`Client::change_grant`], [`Client::delete_grant`] |
//! | [`keys`] | [`Client::list_keys`], [`Client::create_key`], [`Client::show_key`], [`Client::rotate_key`], [`Client::delete_key`] |
//! | [`audit`] | [`Client::list_audit`] |
//! | [`dead_letters`] | [`Client::list_dead_letters`], [`Client::show_dead_letter`], [`Client::redrive_dead_letter`], [`Client::redrive_dead_letters`], [`Client::delete_dead_letter`] and the like |
//! | [`events`] | [`Client::track_events`], [`Client::list_events`], [`Client::show_event_stats`] |
//! | [`messages`] | [`Client::send_message`], [`Client::list_messages`], [`Client::show_message`], [`Client::show_message_schema`], [`Client::put_message_schema`], [`Client::delete_message_schema`] |
//! | [`streams`] | [`Client::list_streams`], [`Client::read_records`], [`Client::poll_group`], [`Client::commit_group`], [`Client::show_group`] |
//! | [`live`] | [`Client::live`] |
//! | [`live_tokens`] | [`Client::create_live_token`], [`Client::show_presence`] |
//! | [`health`] | [`Client::health`] |
//! | [`processes`] | [`Client::list_processes`] |
//!
//! What holds for all of them:
//!
//! - `app` is the app's id or its `bundle_id`.
//! - The client speaks with an API key or with a token (JWT): both are given as the key.
//! - A call that may be repeated without harm is repeated, within [`Retry`], when the server asks for it
//!   (429 and 503 with `Retry-After`) or gives no answer. Every other call is sent once. What makes an app, a grant
//!   or a key has an `Idempotency-Key`, hence may be repeated: one is made.
//! - Every call ends: connecting, answering and silence on a live feed each have their time.
//! - Payloads are not parsed: `data` and `params` are [`serde_json::value::RawValue`].
//! - Instants are RFC 3339 text, as the server wrote them.

pub mod apps;
pub mod audit;
pub mod dead_letters;
pub mod error;
pub mod events;
pub mod grants;
pub mod health;
pub mod keys;
pub mod live;
pub mod live_tokens;
pub mod messages;
mod page;
pub mod processes;
pub mod retry;
mod sse;
pub mod streams;
mod transport;

pub use apps::{App, AppChange, Identity, NewApp, OwnApp};
pub use audit::{AuditEntry, AuditTarget};
pub use dead_letters::{DeadLetter, DeadLetterFilter, DeletedLetters, Redrive, RedrivePace, RedrivenLetter};
pub use error::{Error, Problem, Result};
pub use events::{Event, EventCount, EventStats, ListEvents, Rejection, ShowEventStats, Tracked};
pub use grants::{Grant, NewGrant, Role};
pub use health::Health;
pub use keys::{Key, KeyMade, NewKey};
pub use live::{LiveFeed, LiveFrame, LiveQuery};
pub use live_tokens::{LiveTokenMade, NewLiveToken, Presence, Present};
pub use messages::{ListMessages, Message, MessageSchema, MessageTaken};
pub use page::Page;
pub use processes::Process;
pub use retry::Retry;
pub use streams::{Group, GroupBatch, GroupLag, PollGroup, ReadRecords, Record, RecordPage, StreamSummary};
pub use transport::Client;
