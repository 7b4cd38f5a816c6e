//! How a client command ends badly: one sentence for a person, one exit code for a script.

use angarium_client::Error;
use std::{fmt, io};

pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub message: String,
    /// Whether the command line is at fault rather than what it led to.
    pub is_usage: bool,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), is_usage: false }
    }

    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), is_usage: true }
    }

    /// 1 failed, 2 wrong usage.
    pub fn exit_code(&self) -> u8 {
        if self.is_usage { 2 } else { 1 }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        // What a server refuses of the parameters stood on the command line.
        let of_parameters = ["invalid_parameter", "invalid_cursor", "invalid_body"];
        let is_usage = matches!(error, Error::Setup(_))
            || error.code().is_some_and(|code| of_parameters.contains(&code));
        Failure { message: error.to_string(), is_usage }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::new(error.to_string())
    }
}
