//! PostgreSQL 15 or newer, from Debian's packages or the `PATH`.
//!
//! The role `angarium` is a superuser, so that tests can make databases. PostgreSQL refuses to run as root; then
//! it runs as the user `postgres` or, where there is none, `nobody`.

use super::place::{Place, quoted};
use super::{Server, programs};
use crate::workspace::output;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub const SERVER: Server = Server {
    name: "postgres",
    title: "PostgreSQL",
    // TERM would wait for the clients to go.
    stop: "INT",
    jars: None,
    missing,
    prepare,
    answers,
    product: |port| vec![("ANGARIUM_DB", address(port))],
    address,
};

/// When the main process was killed, its children may go on for as long as a statement takes, and its parent may
/// not have waited for it; PostgreSQL does not start while either is there. This ends the children, as a crash
/// of the machine would, and forgets the zombie. A server that is alive is not touched.
const AFTER_A_KILL: &str = r#"before=$(head -n 1 postgres.data/postmaster.pid 2>/dev/null)
is_dead() { [ ! -e "/proc/$before" ] || grep -qs '^State:.Z' "/proc/$before/status"; }
children() {
  find /proc/[0-9]* -maxdepth 1 -name cwd -lname "$PWD/postgres.data" 2>/dev/null | cut -d / -f 3
}
if [ -n "$before" ] && is_dead; then
  tries=0
  while [ -n "$(children)" ] && [ $tries -lt 100 ]; do
    for child in $(children); do
      if grep -qsx postgres "/proc/$child/comm"; then kill -9 "$child" 2>/dev/null; fi
    done
    sleep 0.05
    tries=$((tries + 1))
  done
  rm -f postgres.data/postmaster.pid
fi
"#;

const OLDEST: u32 = 15;

/// Role, password and database in one.
const NAME: &str = "angarium";

fn missing() -> Option<String> {
    if programs().is_none() {
        return Some(programs::is_missing("initdb", "PostgreSQL", "postgresql"));
    }
    let is_needed = is_root() && programs::on_path("setpriv").is_none();
    is_needed.then(|| programs::is_missing("setpriv", "PostgreSQL", "util-linux"))
}

fn prepare(place: &Place, port: u16) -> Result<String, String> {
    let programs = programs().ok_or("PostgreSQL is not installed")?;
    let data = place.path("postgres.data");
    std::fs::create_dir(&data).map_err(|error| format!("{}: {error}", data.display()))?;
    let user = user_instead_of_root()?;
    if let Some(user) = &user {
        output(Command::new("chown").arg(format!("{}:{}", user.uid, user.gid)).arg(&data))?;
    }
    let password = place.write("postgres.password", NAME)?;

    let mut initdb = as_user(&user, &programs.join("initdb"));
    // A new cluster need not outlive a crash of the machine, hence no sync; the server syncs what it is told.
    initdb.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
    initdb.arg(format!("--username={NAME}")).arg("--pwfile").arg(password).arg("-D").arg(&data);
    output(initdb.current_dir(&data))?;
    let sockets = data.display();
    let settings = format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{sockets}'\n\
         max_connections = 200\nfsync = on\nsynchronous_commit = on\n"
    );
    let file = data.join("postgresql.conf");
    let append = std::fs::OpenOptions::new().append(true).open(&file);
    append
        .and_then(|mut file| file.write_all(settings.as_bytes()))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    make_database(&user, &programs, &data)?;

    let mut server = as_user(&user, &programs.join("postgres"));
    server.arg("-D").arg(&data);
    let words = std::iter::once(server.get_program()).chain(server.get_args());
    let words: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
    Ok(format!("{AFTER_A_KILL}exec {}", words.join(" ")))
}

/// Before the server's first start, so that whoever gets an answer finds the database.
fn make_database(user: &Option<User>, programs: &Path, data: &Path) -> Result<(), String> {
    let mut single = as_user(user, &programs.join("postgres"));
    single.args(["--single", "-j", "-D"]).arg(data).arg("postgres").current_dir(data);
    single.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let failed = |error: std::io::Error| format!("making the database: {error}");
    let mut child = single.spawn().map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(format!("CREATE DATABASE {NAME};\n").as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("making the database failed:\n{}", String::from_utf8_lossy(&output.stderr)))
}

fn answers(_: &Place, port: u16) -> Result<(), String> {
    let programs = programs().ok_or("PostgreSQL is not installed")?;
    let mut psql = Command::new(programs.join("psql"));
    psql.args(["--no-psqlrc", "--no-password", "--tuples-only", "--command", "SELECT 1", &address(port)]);
    output(psql.env("PGCONNECT_TIMEOUT", "2")).map(drop)
}

fn address(port: u16) -> String {
    format!("postgres://{NAME}:{NAME}@127.0.0.1:{port}/{NAME}")
}

/// The folder of the newest version: Debian's, which is not on the `PATH`, or another.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let folders = versions
        .filter(|version| *version >= OLDEST)
        .map(|version| (version, PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"))));
    let newest = folders.filter(|(_, folder)| folder.join("initdb").is_file()).max();
    let on_path = || Some(programs::on_path("initdb")?.parent()?.to_owned());
    newest.map(|(_, folder)| folder).or_else(on_path)
}

struct User {
    uid: String,
    gid: String,
}

fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}

/// `None` when this is not root, and the server runs as whoever this is.
fn user_instead_of_root() -> Result<Option<User>, String> {
    if !is_root() {
        return Ok(None);
    }
    let id = |option: &str, name: &str| output(Command::new("id").args([option, name]));
    let user = ["postgres", "nobody"].into_iter().find_map(|name| {
        let (uid, gid) = (id("-u", name).ok()?, id("-g", name).ok()?);
        Some(User { uid: uid.trim().into(), gid: gid.trim().into() })
    });
    user.map(Some).ok_or_else(|| "it refuses to run as root, and there is no user postgres or nobody".into())
}

/// By `setpriv` and not `runuser`: the process stays the same one, hence the pid stays true.
fn as_user(user: &Option<User>, program: &Path) -> Command {
    let Some(User { uid, gid }) = user else {
        return Command::new(program);
    };
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups").arg(program);
    command
}
