//! Tenants: apps and the keys to them.
//!
//! The first start of a data directory makes one app and three keys: a secret key (`admin`), a write key
//! (`ingest`) and one that only looks (`viewer`), shown once. Apps and keys live in the store and, for
//! checks without I/O, in the kit's directory; whatever changes the one replaces the other.
//!
//! Invariants: a key's secret is nowhere but in its owner's hands; a key belongs to one app for ever.

mod api;
mod first_start;
mod store;

pub use first_start::{FirstStart, first_start, load};

use angarium_db::Migration;
use angarium_kit::{Kit, Slice};

/// The part of the schema that is this slice's.
pub const MIGRATIONS: &[Migration] =
    &[Migration::new("tenants_0001", include_str!("../migrations/0001_tenants.sql"))];

pub fn slice() -> Slice {
    Slice {
        name: "tenants",
        migrations: MIGRATIONS,
        streams: &[],
        codes: angarium_kit::access::CODES,
        routes: api::routes(),
        direct: None,
        workers: Vec::new(),
    }
}

/// Makes the directory say what the store says.
async fn refresh(kit: &Kit) -> angarium_base::Result<()> {
    load(&kit.db, &kit.directory).await
}
