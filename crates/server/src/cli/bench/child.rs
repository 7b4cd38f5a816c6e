//! Processes under test, and what the system and the server say of them. A process ends when its handle is
//! dropped, whatever the reason.

use super::{During, Failure, Result, load::Connection, payload::Caller};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The unit of CPU times in `/proc`: USER_HZ is 100 on every Linux that we build for (proc(5)).
const TICK_US: u64 = 10_000;
const START_TIMEOUT: Duration = Duration::from_secs(300);
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// A process of this binary that has said where it listens.
pub struct Child {
    process: Owned,
    pub address: SocketAddr,
}

/// What a server is started with beside its defaults: names and values of its environment.
pub type Settings = Vec<(&'static str, String)>;

/// One file, nothing else installed, whatever this process was told.
pub fn embedded() -> Settings {
    let of = |name, value: &str| (name, value.to_owned());
    vec![
        of("ANGARIUM_DB", "sqlite"),
        of("ANGARIUM_JOURNAL", "store"),
        of("ANGARIUM_FEED", "auto"),
        of("ANGARIUM_BLOBS", ""),
    ]
}

struct Owned(std::process::Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Child {
    /// This binary.
    pub fn command(phase: &str) -> Result<Command> {
        Ok(Command::new(std::env::current_exe().during(phase)?))
    }

    /// Starts a process and waits for the line that says it is ready.
    pub async fn spawn(mut command: Command, phase: &str) -> Result<(Child, Value)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Owned(command.spawn().during(phase)?);
        let stdout = process.0.stdout.take().ok_or_else(|| Failure::new("the child has no output"))?;
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).map(|_| line)
        });
        let line = tokio::time::timeout(START_TIMEOUT, reading).await;
        let line = line.during(phase)?.during(phase)?.during(phase)?;
        let ready: Value = serde_json::from_str(&line).during(phase)?;
        let address = ready["url"].as_str().and_then(|url| url.strip_prefix("http://")?.parse().ok());
        let address = address.ok_or("the child did not say where it listens").during(phase)?;
        Ok((Child { process, address }, ready))
    }

    /// Runs another program to its end, and returns what it printed.
    pub async fn output(mut command: Command, within: Duration, phase: &str) -> Result<String> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Owned(command.spawn().during(phase)?);
        let stdout = process.0.stdout.take().ok_or_else(|| Failure::new("the child has no output"))?;
        let reading = tokio::task::spawn_blocking(move || {
            let (mut stdout, mut text) = (stdout, String::new());
            stdout.read_to_string(&mut text).map(|_| text)
        });
        tokio::time::timeout(within, reading).await.during(phase)?.during(phase)?.during(phase)
    }

    fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// User and system time so far.
    pub fn cpu_us(&self, phase: &str) -> Result<u64> {
        cpu_us(&self.pid().to_string(), phase)
    }

    pub fn memory(&self, phase: &str) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).during(phase)?;
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
            kib.map_or(f64::NAN, |kib| kib / 1024.0)
        };
        Ok(Memory { rss_mib: mib("VmRSS"), anonymous_mib: mib("RssAnon"), peak_mib: mib("VmHWM") })
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(mut self, phase: &str) -> Result {
        let asked = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().during(phase)?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while asked.success() && self.process.0.try_wait().during(phase)?.is_none() {
            if Instant::now() > deadline {
                return Err(Failure::new(format!("bench, {phase}: the server does not stop")));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

pub struct Memory {
    pub rss_mib: f64,
    pub anonymous_mib: f64,
    pub peak_mib: f64,
}

impl Memory {
    pub fn figures(&self) -> [(&'static str, f64); 3] {
        [("rss_mib", self.rss_mib), ("anonymous_mib", self.anonymous_mib), ("peak_mib", self.peak_mib)]
    }
}

/// User and system time of a process, by its id or `self`.
fn cpu_us(process: &str, phase: &str) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).during(phase)?;
    ticks_of_stat(&stat).map(|ticks| ticks * TICK_US).ok_or("/proc/PID/stat cannot be read").during(phase)
}

/// utime and stime: fields 14 and 15 (proc(5)); the second, a name, may have spaces and brackets.
fn ticks_of_stat(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// What all processes together have spent, and what the hypervisor took.
fn machine_us(phase: &str) -> Result<u64> {
    let stat = fs::read_to_string("/proc/stat").during(phase)?;
    let fields: Vec<u64> =
        stat.lines().next().unwrap_or("").split(' ').filter_map(|text| text.parse().ok()).collect();
    // user, nice, system and steal; interrupts are nobody's.
    let ticks = [0, 1, 2, 7].iter().filter_map(|at| fields.get(*at)).sum::<u64>();
    Ok(ticks * TICK_US)
}

/// A server under test and the keys to it.
pub struct Server {
    pub child: Child,
    pub app: String,
    pub secret_key: String,
    pub write_key: String,
    pub data_dir: PathBuf,
    settings: Settings,
}

impl Server {
    /// The first start in a data directory, embedded.
    pub async fn start(data_dir: &Path, phase: &str) -> Result<Server> {
        Server::start_with(data_dir, embedded(), phase).await
    }

    /// The first start on a store that nobody has used.
    pub async fn start_with(data_dir: &Path, settings: Settings, phase: &str) -> Result<Server> {
        let (child, ready) = serve(data_dir, &settings, phase).await?;
        let text = |name: &str| {
            let text = ready[name].as_str().map(str::to_owned);
            text.ok_or_else(|| format!("the server did not say its {name}")).during(phase)
        };
        Ok(Server {
            app: text("app")?,
            secret_key: text("secret_key")?,
            write_key: text("write_key")?,
            data_dir: data_dir.to_owned(),
            child,
            settings,
        })
    }

    /// Another process on the same store, with the same keys.
    pub async fn join(&self, data_dir: &Path, settings: Settings, phase: &str) -> Result<Server> {
        let (child, _) = serve(data_dir, &settings, phase).await?;
        Ok(Server {
            child,
            app: self.app.clone(),
            secret_key: self.secret_key.clone(),
            write_key: self.write_key.clone(),
            data_dir: data_dir.to_owned(),
            settings,
        })
    }

    /// Ends it as a crash does, and starts it again; returns how long the start took.
    pub async fn kill_and_restart(self, phase: &str) -> Result<(Server, Duration)> {
        let settings = self.settings.clone();
        self.kill_and_restart_with(settings, phase).await
    }

    /// The same, with other settings.
    pub async fn kill_and_restart_with(self, settings: Settings, phase: &str) -> Result<(Server, Duration)> {
        let Server { child, app, secret_key, write_key, data_dir, .. } = self;
        drop(child);
        let before = Instant::now();
        let (child, _) = serve(&data_dir, &settings, phase).await?;
        Ok((Server { child, app, secret_key, write_key, data_dir, settings }, before.elapsed()))
    }

    pub async fn stop(self, phase: &str) -> Result {
        self.child.stop(phase).await
    }

    /// Sends events, as an app does.
    pub fn sender(&self) -> Caller<'_> {
        Caller { app: &self.app, key: &self.write_key }
    }

    /// May do everything.
    pub fn owner(&self) -> Caller<'_> {
        Caller { app: &self.app, key: &self.secret_key }
    }

    /// What the writer has done so far.
    pub async fn writer(&self, phase: &str) -> Result<Writer> {
        let mut connection = Connection::open(self.child.address).await.during(phase)?;
        connection.expect(&self.owner().get("/metrics"), 200).await.during(phase)?;
        let text = String::from_utf8_lossy(connection.body());
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("_total "));
            line.and_then(|value| value.parse().ok())
                .ok_or_else(|| format!("/metrics has no {name}"))
                .during(phase)
        };
        Ok(Writer {
            commits: value("angarium_store_commits")?,
            commit_us: value("angarium_store_commit_microseconds")?,
            tick_us: value("angarium_store_tick_microseconds")?,
            records: value("angarium_journal_records")?,
            raw_bytes: value("angarium_journal_raw_bytes")?,
            stored_bytes: value("angarium_journal_stored_bytes")?,
        })
    }
}

async fn serve(data_dir: &Path, settings: &Settings, phase: &str) -> Result<(Child, Value)> {
    let log = data_dir.with_extension("log");
    let mut command = Child::command(phase)?;
    command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir);
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    command.stderr(File::create(&log).during(phase)?);
    Child::spawn(command, phase).await.map_err(|failure| {
        let said = fs::read_to_string(&log).unwrap_or_default();
        Failure::new(format!("{failure}; the server said: {}", said.lines().last().unwrap_or("nothing")))
    })
}

/// What the writer of a server did, and what it wrote.
#[derive(Clone, Copy, Default)]
pub struct Writer {
    pub commits: u64,
    pub commit_us: u64,
    pub tick_us: u64,
    pub records: u64,
    pub raw_bytes: u64,
    pub stored_bytes: u64,
}

impl Writer {
    fn since(self, before: Writer) -> Writer {
        Writer {
            commits: self.commits - before.commits,
            commit_us: self.commit_us - before.commit_us,
            tick_us: self.tick_us - before.tick_us,
            records: self.records - before.records,
            raw_bytes: self.raw_bytes - before.raw_bytes,
            stored_bytes: self.stored_bytes - before.stored_bytes,
        }
    }
}

/// A moment: what everybody had spent by then.
pub struct Moment {
    at: Instant,
    child_us: u64,
    own_us: u64,
    machine_us: u64,
    writer: Writer,
}

impl Moment {
    /// `writer` is that of a server; the yardstick has none.
    pub fn now(child: &Child, writer: Writer, phase: &str) -> Result<Moment> {
        Ok(Moment {
            at: Instant::now(),
            child_us: child.cpu_us(phase)?,
            own_us: cpu_us("self", phase)?,
            machine_us: machine_us(phase)?,
            writer,
        })
    }

    pub fn until(&self, later: &Moment) -> Spent {
        let (child_us, own_us) = (later.child_us - self.child_us, later.own_us - self.own_us);
        Spent {
            wall_us: later.at.duration_since(self.at).as_micros() as u64,
            child_us,
            own_us,
            others_us: (later.machine_us - self.machine_us).saturating_sub(child_us + own_us),
            writer: later.writer.since(self.writer),
        }
    }
}

/// What a stretch of time cost.
#[derive(Clone, Copy, Default)]
pub struct Spent {
    pub wall_us: u64,
    /// CPU of the process under test, of the load generator, and of everybody else on the machine.
    pub child_us: u64,
    pub own_us: u64,
    pub others_us: u64,
    pub writer: Writer,
}

impl Spent {
    pub fn add(&mut self, more: Spent) {
        self.wall_us += more.wall_us;
        self.child_us += more.child_us;
        self.own_us += more.own_us;
        self.others_us += more.others_us;
        self.writer.commits += more.writer.commits;
        self.writer.commit_us += more.writer.commit_us;
        self.writer.tick_us += more.writer.tick_us;
        self.writer.records += more.writer.records;
        self.writer.raw_bytes += more.writer.raw_bytes;
        self.writer.stored_bytes += more.writer.stored_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 4 0 99 0 0";
        assert_eq!(ticks_of_stat(stat), Some(42));
        assert_eq!(ticks_of_stat("7 (a"), None);
    }
}
