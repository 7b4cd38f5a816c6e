//! The promises of the fleet, on each engine: who there is, and that one process at a time does what one is to do.
//!
//! Time stands still but for [`Place::pass`], which turns the monotonic clock that leases go by, and the wall clock.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

#[path = "fleet/leases.rs"]
mod leases;
#[path = "fleet/places.rs"]
mod places;
#[path = "fleet/processes.rs"]
mod processes;
