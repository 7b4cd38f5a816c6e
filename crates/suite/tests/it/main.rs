//! The product from outside: the real binary, over HTTP, WebSocket, a browser and the command line.

mod backup;
mod bad_input;
mod broker;
mod browser;
mod clock;
mod crash;
mod disk;
mod fault;
mod faults;
mod fleet;
mod group_reader;
mod idempotency;
mod internal;
mod lines;
mod live;
mod main_job;
mod matrix;
mod operations;
mod streams;
mod surface;
mod tenants;
mod tls;
mod tracking;
mod wire;
mod writers;
