//! The machine, and what its disk can do by itself: the floor under every durable answer.

use super::{During, Result, note, report::Scenario};
use serde::Serialize;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

const SYNCS: usize = 500;

#[derive(Serialize)]
pub struct Machine {
    pub cores: usize,
    pub cpu: String,
    pub kernel: String,
    /// The directory that data is written to.
    pub place: String,
}

pub fn machine(home: &Path) -> Machine {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Machine {
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        cpu: model.map_or("unknown processor", |(_, model)| model).to_owned(),
        kernel: kernel.trim().to_owned(),
        place: fs::canonicalize(home).unwrap_or(home.to_owned()).display().to_string(),
    }
}

/// Latency of appending 4 KiB and making them durable.
pub async fn measure(home: PathBuf) -> Result<Scenario> {
    note("disk");
    let times = tokio::task::spawn_blocking(move || append_and_sync(&home.join("disk"))).await;
    let mut times = times.during("disk")?.during("disk")?;
    times.sort_unstable();
    let mean = times.iter().sum::<u64>() as f64 / times.len() as f64;
    let mut scenario =
        Scenario::new("disk", format!("The disk: {SYNCS} appends of 4 KiB, each with fdatasync"));
    let at = |percent: usize| times[(times.len() - 1) * percent / 100] as f64;
    scenario.add("sync", vec![("p50_us", at(50)), ("p99_us", at(99)), ("mean_us", mean)]);
    Ok(scenario)
}

fn append_and_sync(path: &Path) -> io::Result<Vec<u64>> {
    let mut file = File::create(path)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&[7; 4_096])?;
        file.sync_data()?;
        times.push(started.elapsed().as_micros() as u64);
    }
    fs::remove_file(path)?;
    Ok(times)
}
