//! The promises of this crate, each with a test that fails when it is broken, on a real broker.
//!
//! `STACK_KAFKA` (`HOST:PORT`) names it; each test has topics of its own there. Without it each says that it is
//! skipped. What needs a broker that can be killed is in `faults.rs`.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

#[path = "contract/opening.rs"]
mod opening;
#[path = "contract/producing.rs"]
mod producing;
#[path = "contract/reading.rs"]
mod reading;
#[path = "contract/running.rs"]
mod running;
#[path = "contract/shipping.rs"]
mod shipping;
#[path = "contract/spool.rs"]
mod spool;
#[path = "contract/topics.rs"]
mod topics;
#[path = "contract/trouble.rs"]
mod trouble;
#[path = "contract/world.rs"]
mod world;
