//! What `stack up` leaves for `env` and `down`: a file in the target folder.
//!
//! ```text
//! folder=/tmp/angarium-stack.x7Gh2k
//! postgres=24711
//! redis=24712
//! ```

use super::place::Place;
use super::{Placed, SERVERS, guard};
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};

pub struct State {
    place: Place,
    servers: Vec<Placed>,
}

impl State {
    pub fn of(place: &Place, servers: &[Placed]) -> State {
        State { place: place.clone(), servers: servers.to_vec() }
    }

    pub fn read(workspace: &Workspace) -> Result<Option<State>, String> {
        let path = file(workspace)?;
        let failed = |reason: String| format!("{}: {reason}", path.display());
        match std::fs::read_to_string(&path) {
            Ok(text) => State::parse(&text).map(Some).map_err(failed),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    pub fn write(&self, workspace: &Workspace) -> Result<(), String> {
        let path = file(workspace)?;
        std::fs::write(&path, self.text()).map_err(|error| format!("{}: {error}", path.display()))
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn servers(&self) -> &[Placed] {
        &self.servers
    }

    /// Whether any of its servers is running.
    pub fn is_up(&self) -> bool {
        self.servers.iter().any(|(server, _)| self.place.process(server.name).is_some())
    }

    /// Stops the servers and removes all that is left of them.
    pub fn end(&self, workspace: &Workspace) -> Result<(), String> {
        guard::end(&self.place)?;
        let path = file(workspace)?;
        std::fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn text(&self) -> String {
        let servers = self.servers.iter().map(|(server, port)| format!("{}={port}\n", server.name));
        format!("folder={}\n{}", self.place.folder().display(), servers.collect::<String>())
    }

    fn parse(text: &str) -> Result<State, String> {
        let mut place = None;
        let mut servers = vec![];
        for line in text.lines() {
            let (key, value) = line.split_once('=').ok_or_else(|| format!("not KEY=VALUE: {line:?}"))?;
            match SERVERS.iter().find(|server| server.name == key) {
                Some(server) => {
                    let port = value.parse().map_err(|_| format!("not a port: {line:?}"))?;
                    servers.push((server, port));
                }
                None if key == "folder" => place = Some(Place::at(Path::new(value))?),
                None => return Err(format!("an unknown key: {line:?}")),
            }
        }
        let place = place.ok_or("it names no folder")?;
        Ok(State { place, servers })
    }
}

/// In the folder that cargo builds into.
fn file(workspace: &Workspace) -> Result<PathBuf, String> {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.path("target"), PathBuf::from);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder.join("stack.state"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "folder=/tmp/angarium-stack.x=7\npostgres=24711\ns3=24712\n";

    #[test]
    fn what_is_written_is_read() {
        let state = State::parse(TEXT).expect("a state");
        assert_eq!(state.place().folder(), Path::new("/tmp/angarium-stack.x=7"));
        let servers: Vec<_> = state.servers().iter().map(|(server, port)| (server.name, *port)).collect();
        assert_eq!(servers, [("postgres", 24711), ("s3", 24712)]);
        assert_eq!(state.text(), TEXT);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        for text in ["", "postgres=1", "folder=/", "folder=/tmp/angarium-stack.x\nmysql=1", "nonsense"] {
            assert!(State::parse(text).is_err(), "{text:?}");
        }
        assert!(State::parse("folder=/tmp/angarium-stack.x\npostgres=70000").is_err());
    }
}
