//! What the tracker adds to an event from the request that brought it.
//!
//! ```text
//! User-Agent ────────────▶ agents   kind, browser, engine, version, operating system
//! socket + proxy headers ▶ address ▶ geo   country, city
//! ```
//!
//! Enrichment never fails an event and never waits: what cannot be found out stays empty (or `XX`).

pub mod agents;
pub mod geo;
mod recent;

pub use agents::{Agent, Agents};
pub use geo::{Geo, Place};

angarium_base::codes! {
    /// The geo database file cannot be used. The message says why; name a file in MaxMind's format (a City or a Country database), or none.
    GEO_DATABASE = "geo_database": Internal;
}
