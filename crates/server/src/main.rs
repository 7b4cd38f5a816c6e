//! `angarium`: everything is in the library, so that tests can start it in their own process.

/// Half of a request's allocations are freed on another thread; this allocator is made for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    angarium::cli::main()
}
