//! The parts of the work that a process may take on.

/// A part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Answers requests.
    Api,
    /// Serves live readers.
    Live,
    /// Does what is queued.
    Worker,
    /// Does what is due by the clock, one process of a fleet at a time.
    Timer,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Api, Role::Live, Role::Worker, Role::Timer];

    pub fn parse(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == name)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Api => "api",
            Role::Live => "live",
            Role::Worker => "worker",
            Role::Timer => "timer",
        }
    }
}
