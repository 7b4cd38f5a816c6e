//! From names to file names and back.
//!
//! On S3 `a`, `A` and `a/b` are three blobs. A file system has no file and folder of one name, some take both cases for
//! one letter, and some keep names like `con` to themselves. So a folder begins with `+`, a blob with `=`, and before a
//! letter that was upper case stands `!`: none of which a name can have. It also means that no segment is ever `..`.

use crate::Key;
use std::path::{Path, PathBuf};

const FOLDER: char = '+';
const BLOB: char = '=';
const UPPER: char = '!';

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Folder,
    Blob,
}

/// Where the blob lies.
pub(super) fn path(root: &Path, key: &Key) -> PathBuf {
    let mut path = root.join(key.app.as_str());
    let mut segments = key.name.split('/').peekable();
    while let Some(segment) = segments.next() {
        let part = if segments.peek().is_some() { Part::Folder } else { Part::Blob };
        path.push(file_name(segment, part));
    }
    path
}

pub(super) fn file_name(segment: &str, part: Part) -> String {
    let mut out = String::with_capacity(segment.len() + 4);
    out.push(if part == Part::Folder { FOLDER } else { BLOB });
    for c in segment.chars() {
        if c.is_ascii_uppercase() {
            out.push(UPPER);
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// The segment that a file name stands for; `None` for a file that is not ours.
pub(super) fn segment(file_name: &str) -> Option<(String, Part)> {
    let mut chars = file_name.chars();
    let part = match chars.next()? {
        FOLDER => Part::Folder,
        BLOB => Part::Blob,
        _ => return None,
    };
    let mut out = String::with_capacity(file_name.len());
    while let Some(c) = chars.next() {
        out.push(if c == UPPER { chars.next()?.to_ascii_uppercase() } else { c });
    }
    crate::name::check(&out).ok()?;
    // Only what we would have called so ourselves.
    (self::file_name(&out, part) == file_name).then_some((out, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_survives_the_file_system() {
        for name in ["a", "A", "Photo.JPG", ".hidden", "con", "0-_"] {
            for part in [Part::Folder, Part::Blob] {
                let file = file_name(name, part);
                assert_eq!(segment(&file), Some((name.to_owned(), part)), "{file}");
                assert_eq!(file, file.to_ascii_lowercase());
            }
        }
        for file in ["", "a", "=", "=A", "=!", "=!1", "=a b", "=..", ".DS_Store"] {
            assert_eq!(segment(file), None, "{file}");
        }
    }
}
