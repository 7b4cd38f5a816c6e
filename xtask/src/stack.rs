//! Real servers for the distributed edition: PostgreSQL, Redis, Apache Kafka and an S3-compatible server, on
//! free ports of 127.0.0.1, with all of their data in one temporary folder. No root, no containers.
//!
//! | Module | Idea |
//! |---|---|
//! | [`postgres`], [`redis`], [`kafka`], [`s3`] | a server each: what it is made of, how it is prepared, how it answers |
//! | [`place`] | the folder: scripts, logs, data, ports |
//! | [`guard`] | nothing is left behind, however this program ends |
//! | [`process`] | is it still the same process, and stopping it |
//! | [`state`] | what `up` leaves for `env` and `down` |
//! | [`jars`], [`programs`] | what is installed, and what Maven brings |
//!
//! ```text
//! missing? ─▶ fetch jars ─▶ ┌ prepare ─▶ script ─▶ start ─▶ answers? ┐ ─▶ up
//!                           └──────── all servers at once ───────────┘
//! ```
//!
//! The folder holds an executable script for each server (`kafka`, `postgres`, …) that runs it in the
//! foreground on the same port and data, so that a test which killed one can start it again, and `NAME.pid`,
//! which the script writes.

mod guard;
mod jars;
mod kafka;
mod place;
mod postgres;
mod process;
mod programs;
mod redis;
mod s3;
mod state;

use crate::workspace::{Workspace, run as run_program};
use guard::Guard;
use jars::Jars;
use place::Place;
use state::State;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// One that does not answer within this time after its start has failed.
const DEADLINE: Duration = Duration::from_secs(120);

/// A server of the stack: everything that the commands need to know of it.
pub struct Server {
    /// Of its script and files, in `--only`, and in `STACK_NAME_PID`.
    name: &'static str,
    /// How people call it.
    title: &'static str,
    /// The signal that makes it stop in an orderly way without waiting for its clients.
    stop: &'static str,
    /// Fetched before anything is started.
    jars: Option<Jars>,
    /// A sentence on what has to be installed, and how.
    missing: fn() -> Option<String>,
    /// Makes its data and configuration; returns the shell lines that become it.
    prepare: fn(&Place, u16) -> Result<String, String>,
    /// Whether it does its work already; otherwise why not.
    answers: fn(&Place, u16) -> Result<(), String>,
    /// The variables by which the product finds it.
    product: fn(u16) -> Vec<(&'static str, String)>,
    /// `STACK_NAME`, by which tests find it.
    address: fn(u16) -> String,
}

static SERVERS: [Server; 4] = [postgres::SERVER, redis::SERVER, kafka::SERVER, s3::SERVER];

/// A server and its port.
pub type Placed = (&'static Server, u16);

/// Servers that are running; dropping it stops them and removes their folder.
pub struct Stack {
    place: Place,
    servers: Vec<Placed>,
    guard: Guard,
}

impl Stack {
    /// Starts all servers, and returns once each of them answers.
    pub fn start(workspace: &Workspace) -> Result<Stack, String> {
        Stack::start_some(workspace, &SERVERS.iter().collect::<Vec<_>>())
    }

    fn start_some(workspace: &Workspace, wanted: &[&'static Server]) -> Result<Stack, String> {
        if !Path::new("/proc/self/stat").exists() {
            return Err("the stack needs Linux: it tells processes apart by /proc".into());
        }
        let missing: Vec<String> = wanted.iter().filter_map(|server| what_is_missing(server)).collect();
        if !missing.is_empty() {
            return Err(missing.join("\n"));
        }
        // One after the other: two Mavens that write one repository get in each other's way.
        for jars in wanted.iter().filter_map(|server| server.jars.as_ref()) {
            jars.fetch(workspace)?;
        }
        let place = Place::make()?;
        let guard = Guard::over(&place)?;
        let ports = place::free_ports(place::PORTS, wanted.len())?;
        let stack = Stack { place, servers: wanted.iter().copied().zip(ports).collect(), guard };
        stack.bring_up()?;
        Ok(stack)
    }

    fn bring_up(&self) -> Result<(), String> {
        let given_up = AtomicBool::new(false);
        let failures: Vec<String> = std::thread::scope(|scope| {
            let bring_up_one = |(server, port): Placed| {
                let result = bring_up_one(server, &self.place, port, &given_up);
                given_up.fetch_or(result.is_err(), Ordering::Relaxed);
                result.err().filter(|reason| !reason.is_empty())
            };
            let servers: Vec<_> =
                self.servers.iter().map(|placed| scope.spawn(move || bring_up_one(*placed))).collect();
            let panicked = |_| Some("a thread panicked".into());
            servers.into_iter().filter_map(|thread| thread.join().unwrap_or_else(panicked)).collect()
        });
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
    }

    /// What the product and tests need to find the servers, and to stop and start them.
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut variables = product_variables(&self.servers);
        let text = |path: &Path| path.display().to_string();
        variables.push(("STACK_DIR".into(), text(self.place.folder())));
        for (server, port) in &self.servers {
            let name = server.name.to_uppercase();
            variables.push((format!("STACK_{name}"), (server.address)(*port)));
            if let Some(Ok(class_path)) = server.jars.as_ref().map(Jars::class_path) {
                variables.push((format!("STACK_{name}_CLASSPATH"), class_path));
            }
            if let Some(process) = self.place.process(server.name) {
                variables.push((format!("STACK_{name}_PID"), process.pid().to_string()));
            }
        }
        variables
    }

    /// Lets the servers run on after this program.
    fn keep(self) {
        self.guard.release();
    }
}

fn what_is_missing(server: &Server) -> Option<String> {
    (server.missing)().or_else(|| server.jars.as_ref().and_then(Jars::missing))
}

/// An empty reason when another server's failure is the cause.
fn bring_up_one(server: &Server, place: &Place, port: u16, given_up: &AtomicBool) -> Result<(), String> {
    let title = server.title;
    let lines = (server.prepare)(place, port).map_err(|reason| format!("{title}: {reason}"))?;
    place.write_script(server.name, &lines)?;
    let mut child = place.start(server.name)?;
    let started = Instant::now();
    while let Err(reason) = (server.answers)(place, port) {
        let ended = child.try_wait().map_err(|error| format!("{title}: {error}"))?;
        let what = match ended {
            _ if given_up.load(Ordering::Relaxed) => return Err(String::new()),
            Some(status) => format!("{title} ended by itself ({status})"),
            None if started.elapsed() > DEADLINE => {
                format!("{title} did not come up within {} s: {reason}", DEADLINE.as_secs())
            }
            None => {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        return Err(format!("{what}; the end of its log:\n{}", place.end_of_log(server.name)));
    }
    // One that a test kills must not stay a zombie: PostgreSQL does not start while its old pid is there.
    std::thread::spawn(move || child.wait());
    Ok(())
}

fn product_variables(servers: &[Placed]) -> Vec<(String, String)> {
    let of_one = |(server, port): &Placed| (server.product)(*port);
    servers.iter().flat_map(of_one).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Request {
    Up {
        only: Vec<String>,
    },
    Run {
        only: Vec<String>,
        command: Vec<String>,
    },
    Env,
    Down,
    /// Not for people: what [`Guard`] starts.
    Guard {
        folder: PathBuf,
    },
}

impl Request {
    pub fn parse(arguments: Vec<String>) -> Result<Request, String> {
        let mut words = arguments.into_iter();
        let command = words.next().unwrap_or_default();
        let mut rest: Vec<String> = words.collect();
        let mut only = vec![];
        if matches!(command.as_str(), "up" | "run") && rest.first().is_some_and(|word| word == "--only") {
            let names = rest.get(1).ok_or("--only takes names: --only postgres,redis")?;
            only = names.split(',').map(str::to_owned).collect();
            if let Some(name) = only.iter().find(|name| !SERVERS.iter().any(|known| known.name == **name)) {
                let known: Vec<_> = SERVERS.iter().map(|server| server.name).collect();
                return Err(format!("the stack has no {name:?}; it has {}", known.join(", ")));
            }
            rest.drain(..2);
        }
        match (command.as_str(), rest.as_slice()) {
            ("up", []) => Ok(Request::Up { only }),
            ("run", [_, ..]) => Ok(Request::Run { only, command: rest }),
            ("run", []) => Err("stack run takes a command".into()),
            ("env", []) => Ok(Request::Env),
            ("down", []) => Ok(Request::Down),
            ("guard", [folder]) => Ok(Request::Guard { folder: folder.into() }),
            ("up" | "env" | "down", [first, ..]) => Err(format!("unexpected argument {first:?}")),
            _ => Err("stack takes one of up, run, env, down".into()),
        }
    }
}

pub fn run(workspace: &Workspace, request: Request) -> Result<(), String> {
    match request {
        Request::Up { only } => up(workspace, &named(&only)),
        Request::Run { only, command } => run_with(workspace, &named(&only), &command),
        Request::Env => print_environment(workspace),
        Request::Down => down(workspace),
        Request::Guard { folder } => guard::watch(&folder),
    }
}

/// All servers if none is named.
fn named(only: &[String]) -> Vec<&'static Server> {
    let is_wanted = |server: &&Server| only.is_empty() || only.iter().any(|name| name == server.name);
    SERVERS.iter().filter(is_wanted).collect()
}

fn up(workspace: &Workspace, wanted: &[&'static Server]) -> Result<(), String> {
    if let Some(state) = State::read(workspace)? {
        if state.is_up() {
            println!("a stack is up already, and stays as it is");
            describe(&state);
            return Ok(());
        }
        eprintln!("the servers of an earlier stack are gone; removing what they left");
        state.end(workspace)?;
    }
    let started = Instant::now();
    let stack = Stack::start_some(workspace, wanted)?;
    let state = State::of(&stack.place, &stack.servers);
    state.write(workspace)?;
    stack.keep();
    println!("the stack is up, after {:.1} s", started.elapsed().as_secs_f32());
    describe(&state);
    Ok(())
}

fn describe(state: &State) {
    let place = state.place();
    for (server, port) in state.servers() {
        let name = server.name;
        match place.process(name) {
            Some(process) => println!("  {name:<9} {}  (pid {})", (server.address)(*port), process.pid()),
            None => println!("  {name:<9} not running; start it with {}", place.path(name).display()),
        }
    }
    println!("data, logs and scripts: {}", place.folder().display());
    println!("use it:   eval \"$(cargo xtask stack env)\"; cargo xtask serve");
    println!("stop it:  cargo xtask stack down");
}

fn run_with(workspace: &Workspace, wanted: &[&'static Server], command: &[String]) -> Result<(), String> {
    let all = wanted.len() == SERVERS.len();
    let stack = if all { Stack::start(workspace)? } else { Stack::start_some(workspace, wanted)? };
    let mut program = std::process::Command::new(&command[0]);
    run_program(program.args(&command[1..]).envs(stack.variables()))
}

fn print_environment(workspace: &Workspace) -> Result<(), String> {
    let state = State::read(workspace)?.filter(State::is_up);
    let state = state.ok_or("no stack is up; `cargo xtask stack up` starts one")?;
    for (name, value) in product_variables(state.servers()) {
        println!("export {name}={}", place::quoted(&value));
    }
    Ok(())
}

fn down(workspace: &Workspace) -> Result<(), String> {
    let Some(state) = State::read(workspace)? else {
        println!("no stack is up");
        return Ok(());
    };
    state.end(workspace)?;
    println!("the stack is down; {} is removed", state.place().folder().display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request, String> {
        Request::parse(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn commands_are_read() {
        let only = || vec!["postgres".to_owned(), "redis".to_owned()];
        assert_eq!(parse("up"), Ok(Request::Up { only: vec![] }));
        assert_eq!(parse("up --only postgres,redis"), Ok(Request::Up { only: only() }));
        let command = vec!["cargo".to_owned(), "test".to_owned(), "--only".to_owned()];
        assert_eq!(
            parse("run --only postgres,redis cargo test --only"),
            Ok(Request::Run { only: only(), command })
        );
        assert_eq!(parse("env"), Ok(Request::Env));
        assert_eq!(parse("down"), Ok(Request::Down));
    }

    #[test]
    fn what_is_not_a_command_is_refused() {
        for line in ["", "sideways", "up postgres", "env x", "down --only s3", "run", "up --only", "guard"] {
            assert!(parse(line).is_err(), "{line:?}");
        }
        assert_eq!(
            parse("up --only mysql"),
            Err("the stack has no \"mysql\"; it has postgres, redis, kafka, s3".into())
        );
    }

    #[test]
    fn the_product_is_told_of_every_server() {
        let servers: Vec<Placed> = SERVERS.iter().zip([1, 2, 3, 4]).collect();
        let lines: Vec<_> =
            product_variables(&servers).into_iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(
            lines,
            [
                "ANGARIUM_DB=postgres://angarium:angarium@127.0.0.1:1/angarium",
                "ANGARIUM_FEED=redis://127.0.0.1:2",
                "ANGARIUM_JOURNAL=kafka://127.0.0.1:3",
                "ANGARIUM_BLOBS=s3://angarium",
                "ANGARIUM_S3__ENDPOINT=http://127.0.0.1:4",
                "ANGARIUM_S3__REGION=us-east-1",
                "ANGARIUM_S3__ACCESS_KEY_ID=angarium",
                "ANGARIUM_S3__SECRET_ACCESS_KEY=angarium-secret",
            ]
        );
    }
}
