//! A disk that fails or drags: real for the server, because a small library (`fault.c`), preloaded into it, makes
//! its system calls fail or wait.

use angarium_suite::{Setup, World, embedded_only, skip};
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
        let temp = TempDir::with_prefix("angarium-suite-disk-").expect("temporary folders can be made");
        let library = compile(temp.path())?;
        let path = |name: &str| temp.path().join(name).to_str().expect("temporary paths are text").to_owned();
        let mut environment = vec![
            ("LD_PRELOAD".into(), library.to_str().expect("temporary paths are text").into()),
            ("FAULT_DIR".into(), path("data")),
            ("FAULT_SYNC".into(), path("sync")),
            ("FAULT_SPACE".into(), path("space")),
        ];
        if write_us > 0 {
            environment.push(("FAULT_SLOW".into(), write_us.to_string()));
        }
        let data_dir = Some(temp.path().join("data"));
        let setup = Setup { data_dir, environment, ..embedded_only("the disk is the data directory's") };
        Some(Disk { world: World::start_as(setup).await, temp })
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
