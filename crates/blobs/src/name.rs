//! What a blob may be called, and what its content type may be. Pure.
//!
//! The alphabet is what file systems, S3 and URLs all take as it is, so that a name needs no escapes anywhere but
//! in the folder engine (where letters of both cases must stay apart).

use crate::codes::{INVALID_BLOB_NAME, INVALID_BLOB_TYPE};
use angarium_base::Result;

const NAME_CHARS: usize = 512;
/// A file name has 255 bytes; the folder engine may need two for a letter.
const SEGMENT_CHARS: usize = 120;
pub(crate) const CONTENT_TYPE_BYTES: usize = 120;

/// Whether `name` may name a blob.
///
/// # Errors
/// `invalid_blob_name`.
pub(crate) fn check(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(INVALID_BLOB_NAME.err("the name is empty"));
    }
    check_length(name)?;
    name.split('/').try_for_each(check_segment)
}

/// Whether `prefix` may begin a name. An empty one begins all names.
///
/// # Errors
/// `invalid_blob_name` when no name can begin like this.
pub(crate) fn check_prefix(prefix: &str) -> Result<()> {
    check_length(prefix)?;
    match prefix.rsplit_once('/') {
        None => check_alphabet(prefix),
        Some((whole, begun)) => {
            whole.split('/').try_for_each(check_segment)?;
            check_alphabet(begun)
        }
    }
}

/// Whether `text` looks like a media type (RFC 9110, 8.3.1), parameters included.
///
/// # Errors
/// `invalid_blob_type`.
pub(crate) fn check_content_type(text: &str) -> Result<()> {
    let is_visible = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    let has_both = text.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
    if text.len() <= CONTENT_TYPE_BYTES && is_visible && has_both && text.trim() == text {
        return Ok(());
    }
    Err(INVALID_BLOB_TYPE
        .err("the content type is not a media type like image/png, of at most 120 characters"))
}

fn check_length(text: &str) -> Result<()> {
    if text.len() > NAME_CHARS {
        return Err(INVALID_BLOB_NAME.err(format!("the name is longer than {NAME_CHARS} characters")));
    }
    Ok(())
}

fn check_segment(segment: &str) -> Result<()> {
    if segment.is_empty() {
        return Err(INVALID_BLOB_NAME.err("the name has an empty segment"));
    }
    if segment.ends_with('.') {
        return Err(INVALID_BLOB_NAME.err("a segment of the name ends with a full stop"));
    }
    check_alphabet(segment)
}

fn check_alphabet(segment: &str) -> Result<()> {
    if segment.len() > SEGMENT_CHARS {
        return Err(
            INVALID_BLOB_NAME.err(format!("a segment of the name is longer than {SEGMENT_CHARS} characters"))
        );
    }
    if !segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
        return Err(INVALID_BLOB_NAME.err("the name has a character other than letters, digits and - . _ /"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paths_of_a_safe_alphabet() {
        let segment = "s".repeat(120);
        let long = format!("{}/{}", [segment.as_str(); 4].join("/"), "x".repeat(512 - 4 * 121));
        for name in ["a", "A.b-c_d/1/.hidden", "a..b", segment.as_str(), long.as_str()] {
            assert!(check(name).is_ok(), "{name}");
        }
        let too_long = format!("{long}x");
        let wide = format!("{segment}s");
        let bad = [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a/.",
            "a.",
            "a b",
            "a\\b",
            "ä",
            "a\0",
            "a%2e",
            "a+b",
            "=a",
            too_long.as_str(),
            wide.as_str(),
        ];
        for name in bad {
            assert_eq!(check(name).unwrap_err().code().name, "invalid_blob_name", "{name}");
        }
    }

    #[test]
    fn a_prefix_is_the_beginning_of_a_name() {
        for prefix in ["", "a", "a/", "a/.", "a/..b", "a."] {
            assert!(check_prefix(prefix).is_ok(), "{prefix}");
        }
        for prefix in ["/", "../", "a//", "a b", "./a"] {
            assert!(check_prefix(prefix).is_err(), "{prefix}");
        }
    }

    #[test]
    fn a_content_type_is_a_media_type() {
        for text in ["image/png", "text/plain; charset=utf-8"] {
            assert!(check_content_type(text).is_ok(), "{text}");
        }
        for text in
            ["", "png", "/png", "image/", "a/b\r\nx: y", " a/b", "a/ä", &format!("a/{}", "b".repeat(119))]
        {
            assert_eq!(check_content_type(text).unwrap_err().code().name, "invalid_blob_type", "{text}");
        }
    }
}
