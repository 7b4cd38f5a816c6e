//! What every crate of Angarium stands on, and nothing that does I/O.
//!
//! | Module | Idea |
//! |---|---|
//! | [`error`] | one error type; its kind decides status, log level and retry |
//! | [`id`] | typed, prefixed, time-ordered ids |
//! | [`clock`] | the handle all time comes from |
//! | [`time`] | instants as RFC 3339 text |
//! | [`cursor`] | opaque positions in lists and streams |
//! | [`json`] | a strict, borrowing check of JSON text |
//! | [`secret`] | values that never show in a log, and their hashes |

pub mod clock;
pub mod cursor;
pub mod error;
pub mod id;
pub mod json;
pub mod secret;
pub mod time;

pub use clock::Clock;
pub use cursor::Cursor;
pub use error::{Code, Context, Error, Kind, Result};
pub use id::{
    AppId, AuditId, DeadLetterId, EventId, GrantId, KeyId, MessageId, ProcessId, RedriveId, RequestId,
};
pub use secret::Secret;
