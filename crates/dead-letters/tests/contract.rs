//! The promises of dead letters, on each engine: over the slice's own routes, and with its workers.
//!
//! On SQLite; with `CONTRACT_ENGINE=postgres` in databases of the server that `STACK_POSTGRES` names.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

#[path = "contract/letters.rs"]
mod letters;
#[path = "contract/redrives.rs"]
mod redrives;
#[path = "contract/world.rs"]
mod world;
