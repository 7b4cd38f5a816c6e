//! Goes through an app's folder in the order of names, from one name on, up to a limit.
//!
//! A folder sorts as its name with `/`, so that going down into each one as it comes gives the order of whole names.
//! Folders that lie wholly before the start, or beside the prefix, are not opened. Memory holds the entries of the
//! folders on the way down.

use super::{
    is_absence, modified_at,
    names::{self, Part},
    trailer,
};
use crate::Listed;
use std::{fs, io, path::Path, path::PathBuf};

pub(super) struct Walk {
    prefix: String,
    after: String,
    limit: usize,
    found: Vec<Listed>,
}

impl Walk {
    pub(super) fn new(prefix: &str, after: &str, limit: usize) -> Walk {
        Walk { prefix: prefix.into(), after: after.into(), limit, found: vec![] }
    }

    pub(super) fn run(mut self, folder: &Path) -> io::Result<Vec<Listed>> {
        self.go(folder, "")?;
        Ok(self.found)
    }

    /// Goes through `folder`, in which names begin with `begin`.
    fn go(&mut self, folder: &Path, begin: &str) -> io::Result<()> {
        for (name, path) in self.entries(folder, begin)? {
            if self.found.len() == self.limit {
                break;
            }
            if name.ends_with('/') {
                self.go(&path, &name)?;
            } else if let Some(listed) = look(name, &path)? {
                self.found.push(listed);
            }
        }
        Ok(())
    }

    /// What is worth a look, in order: blobs by name, folders by name and `/`.
    fn entries(&self, folder: &Path, begin: &str) -> io::Result<Vec<(String, PathBuf)>> {
        let entries = match fs::read_dir(folder) {
            Err(error) if is_absence(&error) => return Ok(vec![]),
            entries => entries?,
        };
        let mut out = vec![];
        for entry in entries {
            let entry = entry?;
            let Some((segment, part)) = entry.file_name().to_str().and_then(names::segment) else { continue };
            let end = if part == Part::Folder { "/" } else { "" };
            let name = format!("{begin}{segment}{end}");
            if self.wants(&name) {
                out.push((name, entry.path()));
            }
        }
        out.sort_unstable();
        Ok(out)
    }

    fn wants(&self, name: &str) -> bool {
        let is_folder = name.ends_with('/');
        let fits = name.starts_with(&self.prefix) || (is_folder && self.prefix.starts_with(name));
        fits && (name > self.after.as_str() || (is_folder && self.after.starts_with(name)))
    }
}

/// `None` when the blob went away meanwhile, or the file is not one of ours.
fn look(name: String, path: &Path) -> io::Result<Option<Listed>> {
    let metadata = match fs::metadata(path) {
        Err(error) if is_absence(&error) => return Ok(None),
        metadata => metadata?,
    };
    let size_bytes = metadata.len().checked_sub(trailer::BYTES as u64).filter(|_| metadata.is_file());
    Ok(size_bytes.map(|size_bytes| Listed { name, size_bytes, modified_at: modified_at(&metadata) }))
}
