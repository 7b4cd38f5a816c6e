//! Where blobs are kept: on which engines a promise is tried.

use angarium_base::{Clock, Secret};
use angarium_blobs::{Blobs, Options, S3Access, Target};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Larger than one part, as they are in these tests, and not a multiple of it.
pub const LARGE: usize = 11 << 20;

/// An engine, by a name for messages. What it kept goes with it, but for S3's, which goes with the server.
pub struct Place {
    pub name: &'static str,
    pub target: Target,
    _folder: Option<tempfile::TempDir>,
}

/// Each engine that is there.
pub fn places() -> Vec<Place> {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::Folder(folder.path().join("blobs"));
    let mut places = vec![
        Place { name: "memory", target: Target::Memory, _folder: None },
        Place { name: "folder", target, _folder: Some(folder) },
    ];
    places.extend(bucket().map(|target| Place { name: "s3", target, _folder: None }));
    places
}

impl Place {
    pub fn open(&self) -> Blobs {
        self.open_with(options())
    }

    pub fn open_with(&self, options: Options) -> Blobs {
        Blobs::open(&self.target, options, Clock::system()).unwrap()
    }
}

pub fn options() -> Options {
    Options { part_bytes: 5 << 20, parts_in_flight: 2, ..Options::default() }
}

/// A prefix of its own in the bucket of `STACK_S3`; `None` where that is not set, which has been said then.
#[allow(clippy::disallowed_methods, reason = "a test is told by the environment where a server is")]
#[allow(clippy::print_stdout, reason = "what a test skips it says")]
pub fn bucket() -> Option<Target> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let Ok(server) = std::env::var("STACK_S3") else {
        println!("skipped: optional: STACK_S3 is not set");
        return None;
    };
    let process = std::process::id();
    let prefix = format!("contract-{}-{process}-{}", Clock::system().now(), MADE.fetch_add(1, Relaxed));
    let (scheme, rest) = server.split_once("://").unwrap();
    let (keys, rest) = rest.split_once('@').unwrap();
    let (access_key_id, secret) = keys.split_once(':').unwrap();
    let (host, bucket) = rest.split_once('/').unwrap();
    let access = S3Access {
        endpoint: Some(format!("{scheme}://{host}")),
        region: "us-east-1".into(),
        access_key_id: access_key_id.into(),
        secret_access_key: Secret::new(secret),
        allow_http: scheme == "http",
    };
    let value = format!("s3://{}/{prefix}", bucket.trim_end_matches('/'));
    Some(Target::parse(&value, Some(&access)).unwrap())
}
