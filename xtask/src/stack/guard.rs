//! Nothing is left behind, however this program ends.
//!
//! A second process of this program waits at the end of a pipe, in a process group of its own. The pipe closes
//! when the guard is dropped, and also when this program dies: of Ctrl-C, SIGTERM, SIGKILL, a panic. Then that
//! process stops the servers, also those that tests have started again, and removes the folder.
//!
//! `PR_SET_PDEATHSIG` would do less: it does not reach what tests started, is lost when PostgreSQL changes its
//! user, and removes no folder.

use super::place::{Place, in_own_group};
use super::process;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Said through the pipe, it ends the watch without doing anything.
const KEEP: &str = "keep";

pub struct Guard {
    place: Place,
    watcher: Child,
    pipe: Option<ChildStdin>,
    is_released: bool,
}

impl Guard {
    pub fn over(place: &Place) -> Result<Guard, String> {
        let failed = |error| {
            // Without a guard nobody else would do it.
            let _ = place.remove();
            format!("no guard for the servers: {error}")
        };
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(["stack", "guard"]).arg(place.folder());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut watcher = in_own_group(&mut command).spawn().map_err(failed)?;
        let pipe = watcher.stdin.take();
        Ok(Guard { place: place.clone(), watcher, pipe, is_released: false })
    }

    /// The servers run on.
    pub fn release(mut self) {
        if let Some(pipe) = &mut self.pipe {
            self.is_released = pipe.write_all(KEEP.as_bytes()).is_ok();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let has_done_it = self.watcher.wait().is_ok_and(|status| status.success());
        if !has_done_it
            && !self.is_released
            && let Err(reason) = end(&self.place)
        {
            eprintln!("{reason}");
        }
    }
}

/// What the second process does.
pub fn watch(folder: &Path) -> Result<(), String> {
    let place = Place::at(folder)?;
    let mut said = String::new();
    // A pipe that cannot be read has nobody at its other end either.
    let _ = std::io::stdin().read_to_string(&mut said);
    if said == KEEP { Ok(()) } else { end(&place) }
}

/// Stops the servers and removes the folder; there may be nothing left of either.
pub fn end(place: &Place) -> Result<(), String> {
    process::stop_all(place);
    place.remove()
}
