//! The program: a parts list, a configuration, a server that runs it, a command line.

pub mod api;
pub mod cli;
pub mod config;
mod guarded;
mod limits;
mod listen;
pub mod memory;
mod open;
mod private_file;
pub mod run;
pub mod slices;
mod tls;
