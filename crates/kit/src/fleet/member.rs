//! What a process says of itself.

use super::Role;
use angarium_base::{Clock, ProcessId, clock::Millis};

/// This process, as a member of the fleet.
#[derive(Clone, Debug)]
pub struct Member {
    /// Of this run; a restart is another.
    pub id: ProcessId,
    pub host: String,
    pub pid: i64,
    pub roles: Vec<Role>,
    pub version: String,
    /// Where it listens.
    pub address: String,
    pub started_at: Millis,
}

impl Member {
    /// A process that starts now, on this machine.
    pub fn new(roles: Vec<Role>, version: &str, address: &str, clock: &Clock) -> Member {
        let started_at = clock.now();
        Member {
            id: ProcessId::new(started_at),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid: i64::from(std::process::id()),
            roles,
            version: version.into(),
            address: address.into(),
            started_at,
        }
    }

    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// `api,live`: as in the configuration.
    pub fn roles_text(&self) -> String {
        self.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(",")
    }
}
