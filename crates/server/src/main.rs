//! `angarium`: everything is in the library, so that tests can start it in their own process.

fn main() -> std::process::ExitCode {
    angarium::memory::hold_back_little();
    angarium::cli::main()
}
