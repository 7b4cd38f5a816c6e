//! Where blobs are kept: what one setting says, parsed once.

use crate::codes::INVALID_BLOBS_TARGET;
use angarium_base::{Result, Secret};
use std::path::PathBuf;

/// Which engine, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// In this process, for tests: gone with the last handle.
    Memory,
    /// A folder, made when it is not there.
    Folder(PathBuf),
    S3 {
        bucket: String,
        /// What all keys begin with; empty, or without `/` at either end.
        prefix: String,
        access: S3Access,
    },
}

/// How to get at a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Access {
    /// `https://host:port` of what speaks S3, the bucket coming in the path; `None` for Amazon's own.
    pub endpoint: Option<String>,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: Secret,
    /// Whether the endpoint may be one without TLS.
    pub allow_http: bool,
}

impl Target {
    /// Reads `s3://bucket/prefix`, `file:///path` or a path. Only the first needs `s3`.
    ///
    /// # Errors
    /// `invalid_blobs_target`. The message does not repeat the value, which may hold what is secret.
    pub fn parse(value: &str, s3: Option<&S3Access>) -> Result<Target> {
        if let Some(rest) = value.strip_prefix("s3://") {
            return parse_s3(rest, s3);
        }
        if let Some(path) = value.strip_prefix("file://") {
            return match path.starts_with('/') && !path.contains(['%', '?', '#']) {
                true => Ok(Target::Folder(path.into())),
                false => Err(INVALID_BLOBS_TARGET.err(
                    "after file:// comes an absolute path without %, ? and #; a plain path may have them",
                )),
            };
        }
        if value.contains("://") {
            return Err(
                INVALID_BLOBS_TARGET.err("this is neither a path, nor file:///path, nor s3://bucket/prefix")
            );
        }
        if value.is_empty() || value.contains('\0') {
            return Err(INVALID_BLOBS_TARGET.err("the path is empty, or has a NUL"));
        }
        Ok(Target::Folder(value.into()))
    }
}

fn parse_s3(rest: &str, s3: Option<&S3Access>) -> Result<Target> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    if !is_bucket(bucket) {
        return Err(INVALID_BLOBS_TARGET
            .err("the bucket has 3 to 63 lower-case letters, digits, dots and hyphens; keys do not go into the URL"));
    }
    if !prefix.is_empty() && (prefix.len() > 200 || crate::name::check(prefix).is_err()) {
        return Err(INVALID_BLOBS_TARGET.err("the prefix has at most 200 letters, digits and - . _ /"));
    }
    let access = s3.ok_or_else(|| {
        INVALID_BLOBS_TARGET.err("s3:// needs a region, an access key id and a secret access key")
    })?;
    Ok(Target::S3 { bucket: bucket.into(), prefix: prefix.into(), access: access.clone() })
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>, the parts about characters.
fn is_bucket(text: &str) -> bool {
    let ends_well = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (3..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
        && ends_well(text.bytes().next())
        && ends_well(text.bytes().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> S3Access {
        S3Access {
            endpoint: None,
            region: "eu-central-1".into(),
            access_key_id: "AKIA".into(),
            secret_access_key: Secret::new("hush"),
            allow_http: false,
        }
    }

    #[test]
    fn one_value_chooses_and_configures_the_engine() {
        for path in ["data/blobs", "/var/lib/angarium", "C:\\blobs", "with %", "."] {
            assert_eq!(Target::parse(path, None).unwrap(), Target::Folder(path.into()));
        }
        assert_eq!(Target::parse("file:///a/b", None).unwrap(), Target::Folder("/a/b".into()));
        let s3 =
            |prefix: &str| Target::S3 { bucket: "my.bucket".into(), prefix: prefix.into(), access: access() };
        for (value, prefix) in [
            ("s3://my.bucket", ""),
            ("s3://my.bucket/", ""),
            ("s3://my.bucket/a", "a"),
            ("s3://my.bucket/a/B/", "a/B"),
        ] {
            assert_eq!(Target::parse(value, Some(&access())).unwrap(), s3(prefix), "{value}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_and_not_repeated() {
        let values = [
            "",
            "file://host/a",
            "file:///a%20b",
            "gs://bucket",
            "s3://",
            "s3://ab",
            "s3://Bucket",
            "s3://key:hush@bucket/a",
            "s3://bucket//a",
            "s3://bucket/../a",
            "s3://bucket/a?b=c",
        ];
        for value in values {
            let error = Target::parse(value, Some(&access())).unwrap_err();
            assert_eq!(error.code().name, "invalid_blobs_target", "{value}");
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
        assert!(Target::parse("s3://bucket", None).is_err());
    }

    #[test]
    fn a_target_shows_no_secret() {
        let target = Target::parse("s3://bucket/a", Some(&access())).unwrap();
        assert!(!format!("{target:?}").contains("hush"));
    }
}
