//! A disk that fails or drags, a clock that jumps: real for the server, because a small library (`fault.c`), preloaded
//! into it, makes its system calls fail, wait, or tell another time.

use angarium_suite::{On, Servers, Setup, World, embedded_only, skip};
use std::{
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

#[derive(Clone, Copy, PartialEq)]
pub enum Fault {
    /// fsync and fdatasync fail with EIO.
    Sync,
    /// Writes fail with ENOSPC.
    Space,
}

/// A server on a disk that can be made to fail.
pub struct Disk {
    pub world: World,
    // Last: the server is dead when its folder goes.
    temp: TempDir,
}

impl Disk {
    /// `None` where no library can be made; that has been said then.
    pub async fn start() -> Option<Disk> {
        Disk::slow(0).await
    }

    /// The same, and every write takes some microseconds longer.
    pub async fn slow(write_us: u32) -> Option<Disk> {
        let slow = (write_us > 0).then(|| ("FAULT_SLOW".to_owned(), write_us.to_string()));
        Disk::with(embedded_only("the disk is the data directory's"), slow).await
    }

    /// A server whose streams are in Kafka, and whose disk is its spool's. `None`, which has been said then, where
    /// there is no Kafka.
    pub async fn of_spool() -> Option<Disk> {
        let servers = on_kafka("the disk of a spool")?;
        let environment = vec![("ANGARIUM_KAFKA__ACK".into(), "local".into())];
        Disk::with(Setup { on: On::Servers(servers), environment, ..Setup::default() }, None).await
    }

    async fn with(setup: Setup, more: Option<(String, String)>) -> Option<Disk> {
        let temp = TempDir::with_prefix("angarium-suite-disk-").expect("temporary folders can be made");
        let path = |name: &str| text(&temp.path().join(name));
        let mut environment = vec![
            ("LD_PRELOAD".into(), text(&compile(temp.path())?)),
            ("FAULT_DIR".into(), path("data")),
            ("FAULT_SYNC".into(), path("sync")),
            ("FAULT_SPACE".into(), path("space")),
        ];
        environment.extend(setup.environment.iter().cloned().chain(more));
        let data_dir = Some(temp.path().join("data"));
        Some(Disk { world: World::start_as(Setup { data_dir, environment, ..setup }).await, temp })
    }

    fn trigger(&self, fault: Fault) -> PathBuf {
        self.temp.path().join(if fault == Fault::Sync { "sync" } else { "space" })
    }

    pub fn fail(&self, fault: Fault) {
        std::fs::write(self.trigger(fault), "").expect("the trigger can be made");
    }

    pub fn work_again(&self, fault: Fault) {
        std::fs::remove_file(self.trigger(fault)).expect("the trigger can be removed");
    }
}

/// The clock of servers, which can be set while they run.
pub struct Clock(TempDir);

impl Clock {
    /// A clock that is right, and what makes a server go by it. `None` where no library can be made; that has been said
    /// then.
    pub fn right() -> Option<(Clock, Vec<(String, String)>)> {
        let temp = TempDir::with_prefix("angarium-suite-clock-").expect("temporary folders can be made");
        let library = compile(temp.path())?;
        let clock = Clock(temp);
        clock.jump_to(0);
        let environment =
            [("LD_PRELOAD", text(&library)), ("FAULT_CLOCK", text(&clock.0.path().join("clock")))];
        Some((clock, environment.map(|(name, value)| (name.to_owned(), value)).into()))
    }

    /// So many seconds ahead of the true time, or behind it.
    pub fn jump_to(&self, ahead_s: i64) {
        // Whoever looks sees the old file or the new one.
        let (new, path) = (self.0.path().join("new"), self.0.path().join("clock"));
        std::fs::write(&new, ahead_s.to_string()).expect("the file can be written");
        std::fs::rename(new, path).expect("the file can be renamed");
    }
}

/// The stack with Kafka; `None`, which has been said then, where the suite does not run on it.
pub fn on_kafka(what: &str) -> Option<Servers> {
    let servers = Servers::of_stack().filter(|servers| servers.kafka.is_some());
    if servers.is_none() {
        skip(&format!("optional: {what} needs SUITE_ON=kafka (`cargo xtask test --stack`)"));
    }
    servers
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary paths are text").to_owned()
}

/// The path of the library.
fn compile(folder: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fault.c");
    let library = folder.join("fault.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]).arg("-ldl");
    let Ok(output) = compiler.output() else {
        skip("no C compiler");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(library)
}
