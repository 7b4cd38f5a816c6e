//! The product from outside: the real binary, over HTTP, WebSocket, a browser and the command line.

mod backup;
mod bad_input;
mod broker;
mod browser;
mod clients;
mod clock;
mod crash;
mod disk;
mod fault;
mod faults;
mod fleet;
mod group_reader;
mod internal;
mod lines;
mod live;
mod main_job;
mod operations;
mod sdks;
mod streams;
mod tls;
mod tracking;
mod wire;
mod wires;
mod writers;
