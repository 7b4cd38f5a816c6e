//! What the tracker adds to an event from the request that brought it.
//!
//! ```text
//! User-Agent ────────────▶ agents   kind, browser, engine, version, operating system
//! socket + proxy headers ▶ address ▶ geo   country, city
//! ```
//!
//! Enrichment never fails an event and never waits: what cannot be found out stays empty (or `XX`).

pub mod address;
pub mod agents;
pub mod geo;
mod recent;

pub use address::{TrustedProxies, client_address};
pub use agents::{Agent, Agents};
pub use geo::{Geo, Place};

angarium_base::codes! {
    /// The geo database file cannot be used. The message says why; name a file in MaxMind's format (a City or a Country database), or none.
    GEO_DATABASE = "geo_database": Internal;
    /// An entry of the trusted proxies is not an address, a network (`10.0.0.0/8`), `loopback` or `private`.
    TRUSTED_PROXY = "trusted_proxy": Invalid;
}
