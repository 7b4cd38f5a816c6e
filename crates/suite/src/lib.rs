//! What the black-box tests stand on: the real binary in a world of its own, and an oracle that knows what it owes.
//!
//! | Module | Idea |
//! |---|---|
//! | [`world`] | a real `angarium serve` on a port and a folder of its own, killed when the test is over |
//! | [`start`] | how one is started, where it differs from the defaults; [`embedded_only`] |
//! | [`place`] | what worlds lie on with `SUITE_ON=stack`: a database, a Redis database, a prefix of blobs |
//! | [`servers`] | a PostgreSQL and a Redis of a test's own, which it may kill |
//! | [`caller`] | plain HTTP with a key and no retries: what a test sends is what it wrote |
//! | [`process`] | finding and starting the binary, in a clean environment |
//! | [`authority`] | an authority of a test's own, and the certificates it gives out |
//! | [`tokens`] | issuers of a test's own, and the tokens they sign, good and bad |
//! | [`oracle`] | acknowledged ⇒ there once; there ⇒ sent; intact |
//!
//! Every test runs on the embedded engine, with `SUITE_ON=stack` on PostgreSQL, Redis and S3, and with `SUITE_ON=kafka` on
//! Kafka too: worlds differ then, tests hardly do. Those of fleets and of servers that fail need the stack; those of files need none.
//!
//! The suite knows the product from outside: HTTP, WebSocket, the command line, the files a user may touch.

pub mod authority;
pub mod caller;
pub mod oracle;
pub mod place;
pub mod process;
pub mod servers;
pub mod start;
pub mod tokens;
pub mod world;

pub use authority::{Authority, Pair, tls_client};
pub use caller::{Caller, Reply, stream_of};
pub use oracle::Oracle;
pub use place::{Place, Servers};
pub use process::{Ran, angarium, run};
pub use servers::OwnServer;
pub use start::{Keys, On, Setup, embedded_only};
pub use tokens::Signer;
pub use world::World;

use std::{path::PathBuf, time::Duration};

/// Longer than anything takes that works; nothing is measured with it.
pub const GUARD: Duration = Duration::from_secs(60);

/// Says that a test cannot be done here. In CI this is a failure, unless the reason begins with `optional`.
pub fn skip(reason: &str) {
    note(&format!("skipped: {reason}"));
}

/// Says something for the record of the run.
#[allow(clippy::print_stdout, reason = "the account of a run is made from what tests print")]
pub fn note(text: &str) {
    println!("{text}");
}

/// Whether streams are in Kafka: it tends them itself, and each process remembers the ids that came through it.
pub fn on_kafka() -> bool {
    process::variable("SUITE_ON").as_deref() == Some("kafka")
}

/// Where the stack keeps its scripts and pids, if there is one.
pub fn stack_dir() -> Option<PathBuf> {
    process::variable("STACK_DIR").map(PathBuf::from)
}

/// Whether the long versions of tests were asked for.
pub fn is_long() -> bool {
    process::variable("ANGARIUM_LONG").is_some_and(|value| !value.is_empty() && value != "0")
}

/// A file of the data that lies beside the working copy, if it is there.
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    path.exists().then_some(path)
}

/// Asks until the answer is there. Panics, saying what was waited for, when it does not come within [`GUARD`].
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(GUARD, asking).await {
        Ok(found) => found,
        Err(_) => panic!("{what}: did not happen within {} s", GUARD.as_secs()),
    }
}
