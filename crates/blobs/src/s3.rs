//! The engine that is S3, or what speaks it, through the crate `object_store`.
//!
//! ```text
//! PREFIX/blobs/app_…/photos/a    the content as it is, its type, and as metadata `sha256` or `sum`
//! PREFIX/sums/app_…/01J…         the checksum of a blob that came in parts, under the id in its `sum`
//! ```
//!
//! A small blob is one request, with its checksum as metadata. For a large one S3 wants the metadata when the upload
//! in parts begins, before the checksum is known. So the metadata names an id, new for each upload, and the checksum
//! is written under this id before the upload is completed: whoever sees the blob finds its checksum, and never that of
//! another content. The sum of a blob that was replaced or deleted goes after it; a crash, or two puts at the same
//! moment, can leave one behind, of 64 bytes.
//!
//! A lifecycle rule of the bucket should abort incomplete uploads after a day: those of a process that was killed.

mod connector;
mod patience;
mod upload;

pub(crate) use upload::Upload;

use crate::codes::{BLOB_CORRUPT, BLOB_NOT_FOUND, INVALID_BLOB_RANGE, INVALID_BLOBS_TARGET};
use crate::{Blob, Content, Key, Listed, Options, S3Access};
use angarium_base::{AppId, Clock, Context, Error, Result, clock::Millis};
use futures_util::TryStreamExt;
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, GetResult, ObjectStore, ObjectStoreExt,
    aws::{AmazonS3, AmazonS3Builder},
    list::{PaginatedListOptions, PaginatedListStore},
    path::Path,
};
use patience::{Patience, is_absence, unavailable};
use std::{ops::Range, sync::Arc, time::Duration};

/// What S3 takes as a part that is not the last one, and how many it takes
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>).
const SMALLEST_PART_BYTES: u64 = 5 << 20;
const MOST_PARTS: u64 = 10_000;

/// Metadata: the checksum itself, or the id under which it lies.
const SHA256: Attribute = Attribute::Metadata(std::borrow::Cow::Borrowed("sha256"));
const SUM: Attribute = Attribute::Metadata(std::borrow::Cow::Borrowed("sum"));

/// How often a blob is looked at again whose sum went away while it was replaced.
const LOOKS: usize = 4;

pub(crate) struct Engine {
    bucket: Arc<Bucket>,
}

struct Bucket {
    store: AmazonS3,
    /// What all keys begin with: empty, or ending in `/`.
    prefix: String,
    patience: Patience,
    part_bytes: usize,
    parts_in_flight: usize,
    clock: Clock,
}

impl Engine {
    pub(crate) fn open(
        bucket: &str,
        prefix: &str,
        access: &S3Access,
        options: Options,
        clock: Clock,
    ) -> Result<Engine> {
        let patience = Patience::new(options.answer_ms, options.patience_ms);
        let answer = Duration::from_millis(options.answer_ms);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&access.region)
            .with_access_key_id(&access.access_key_id)
            .with_secret_access_key(access.secret_access_key.expose())
            .with_allow_http(access.allow_http)
            .with_retry(patience.retries())
            // What deletes many at once wants MD5 and XML; not all that speak S3 have it, and we delete one.
            .with_disable_bulk_delete(true)
            .with_http_connector(connector::Connector { answer, allow_http: access.allow_http });
        builder = match &access.endpoint {
            Some(endpoint) => builder.with_endpoint(endpoint),
            // The certificate of Amazon's hosts covers one label.
            None => builder.with_virtual_hosted_style_request(!bucket.contains('.')),
        };
        let store = builder.build().or_error(INVALID_BLOBS_TARGET, "the settings for S3 cannot be used")?;
        let part_bytes =
            (options.part_bytes as u64).max(SMALLEST_PART_BYTES).max(options.max_bytes.div_ceil(MOST_PARTS));
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let bucket = Bucket {
            store,
            prefix,
            patience,
            part_bytes: part_bytes as usize,
            parts_in_flight: options.parts_in_flight.max(1),
            clock,
        };
        Ok(Engine { bucket: Arc::new(bucket) })
    }

    pub(crate) async fn check(&self) -> Result<()> {
        let bucket = &self.bucket;
        let first = PaginatedListOptions { max_keys: Some(1), ..Default::default() };
        bucket.patience.bound(bucket.store.list_paginated(None, first)).await?.map_err(unavailable)?;
        Ok(())
    }

    pub(crate) async fn begin(&self, key: Key, content_type: &str) -> Result<Upload> {
        Upload::new(self.bucket.clone(), key, content_type)
    }

    pub(crate) async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<(Blob, Content)> {
        let bucket = &self.bucket;
        let wanted = GetOptions { range: range.clone().map(GetRange::Bounded), ..Default::default() };
        let outcome = bucket.patience.bound(bucket.look(key, wanted)).await?;
        let (blob, result) = match outcome {
            // S3 refuses a range that begins beyond the end, and cuts one that ends there.
            Err(error) if range.is_some() && error.code().name != BLOB_NOT_FOUND.name => {
                let head = self.head(key).await?;
                return Err(if is_beyond(&range, head.size_bytes) { beyond() } else { error });
            }
            outcome => outcome?,
        };
        if is_beyond(&range, blob.size_bytes) {
            return Err(beyond());
        }
        let patience = bucket.patience;
        Ok((blob, Box::pin(patience.each(result.into_stream().map_err(unavailable)))))
    }

    pub(crate) async fn head(&self, key: &Key) -> Result<Blob> {
        let bucket = &self.bucket;
        let head = GetOptions { head: true, ..Default::default() };
        Ok(bucket.patience.bound(bucket.look(key, head)).await??.0)
    }

    pub(crate) async fn delete(&self, key: &Key) -> Result<()> {
        let bucket = &self.bucket;
        let delete = async {
            let sum = bucket.sum_of(&bucket.key(key)?).await?;
            bucket.remove(&bucket.key(key)?).await?;
            match sum {
                Some(id) => bucket.remove(&bucket.sum_key(&key.app, &id)?).await,
                None => Ok(()),
            }
        };
        bucket.patience.bound(delete).await?
    }

    pub(crate) async fn list(
        &self,
        app: &AppId,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Listed>> {
        self.bucket.list(app, prefix, after, limit).await
    }
}

impl Bucket {
    /// What a key has for this answer of S3, and the answer.
    async fn look(&self, key: &Key, options: GetOptions) -> Result<(Blob, GetResult)> {
        let path = self.key(key)?;
        for _ in 0..LOOKS {
            let result = self.store.get_opts(&path, options.clone()).await.map_err(unreadable)?;
            if let Some(sha256) = self.sha256(&key.app, &result.attributes).await? {
                return Ok((describe(&result, sha256), result));
            }
        }
        Err(BLOB_CORRUPT.err("the checksum of the blob is missing"))
    }

    /// `None` when it went away, which it does after the blob was replaced.
    async fn sha256(&self, app: &AppId, attributes: &Attributes) -> Result<Option<[u8; 32]>> {
        if let Some(hex) = attributes.get(&SHA256) {
            return unhex(hex).map(Some);
        }
        let Some(id) = attributes.get(&SUM) else {
            return Err(BLOB_CORRUPT.err("the blob was not written by this server"));
        };
        let sum = match self.store.get(&self.sum_key(app, id)?).await {
            Ok(sum) => sum.bytes().await.map_err(unavailable)?,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(unavailable(error)),
        };
        unhex(std::str::from_utf8(&sum).unwrap_or_default()).map(Some)
    }

    /// The id of the sum of the blob that is there now.
    async fn sum_of(&self, path: &Path) -> Result<Option<String>> {
        let head = GetOptions { head: true, ..Default::default() };
        match self.store.get_opts(path, head).await {
            Ok(result) => Ok(result.attributes.get(&SUM).map(|id| id.to_string())),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn remove(&self, path: &Path) -> Result<()> {
        match self.store.delete(path).await {
            Err(error) if !is_absence(&error) => Err(unavailable(error)),
            _ => Ok(()),
        }
    }

    async fn list(&self, app: &AppId, prefix: &str, after: &str, limit: usize) -> Result<Vec<Listed>> {
        let base = format!("{}blobs/{app}/", self.prefix);
        let prefix = format!("{base}{prefix}");
        let mut options = PaginatedListOptions {
            offset: (!after.is_empty()).then(|| format!("{base}{after}")),
            max_keys: Some(limit.min(crate::LIST_LIMIT)),
            ..Default::default()
        };
        let mut out = Vec::new();
        loop {
            let page = self.store.list_paginated(Some(&prefix), options.clone());
            let page = self.patience.bound(page).await?.map_err(unavailable)?;
            let ours = page.result.objects.into_iter().filter_map(|object| {
                let name = object.location.as_ref().strip_prefix(&base)?;
                crate::name::check(name).ok()?;
                let modified_at: Millis = object.last_modified.timestamp_millis();
                Some(Listed { name: name.into(), size_bytes: object.size, modified_at })
            });
            out.extend(ours.take(limit - out.len()));
            options.page_token = page.page_token;
            if options.page_token.is_none() || out.len() == limit {
                return Ok(out);
            }
        }
    }

    fn key(&self, key: &Key) -> Result<Path> {
        path(format!("{}blobs/{}/{}", self.prefix, key.app, key.name))
    }

    fn sum_key(&self, app: &AppId, id: &str) -> Result<Path> {
        path(format!("{}sums/{app}/{id}", self.prefix))
    }
}

fn path(key: String) -> Result<Path> {
    Path::parse(key).or_error(BLOB_CORRUPT, "the key of a blob is not one")
}

fn describe(result: &GetResult, sha256: [u8; 32]) -> Blob {
    let content_type = result.attributes.get(&Attribute::ContentType);
    Blob {
        size_bytes: result.meta.size,
        sha256,
        content_type: content_type.map_or("application/octet-stream", |text| text.as_ref()).to_owned(),
        modified_at: result.meta.last_modified.timestamp_millis(),
    }
}

fn is_beyond(range: &Option<Range<u64>>, size_bytes: u64) -> bool {
    range.as_ref().is_some_and(|range| range.end > size_bytes)
}

fn beyond() -> Error {
    INVALID_BLOB_RANGE.err("the range goes beyond the end of the blob")
}

fn unreadable(error: object_store::Error) -> Error {
    match is_absence(&error) {
        true => BLOB_NOT_FOUND.err("there is no blob by that name"),
        false => unavailable(error),
    }
}

fn unhex(text: &str) -> Result<[u8; 32]> {
    let mut out = [0; 32];
    let digit = |b: u8| char::from(b).to_digit(16);
    let is_read = text.len() == 64
        && text.as_bytes().chunks_exact(2).zip(&mut out).all(|(pair, byte)| {
            let value = digit(pair[0]).zip(digit(pair[1])).map(|(high, low)| (high * 16 + low) as u8);
            *byte = value.unwrap_or_default();
            value.is_some()
        });
    is_read.then_some(out).ok_or_else(|| BLOB_CORRUPT.err("the checksum of the blob cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_survives_its_text_form() {
        let sha256: [u8; 32] = std::array::from_fn(|i| (i * 9) as u8);
        assert_eq!(unhex(&angarium_base::secret::hex(&sha256)).unwrap(), sha256);
        for text in ["", "00", &"g".repeat(64), &"ä".repeat(32)] {
            assert_eq!(unhex(text).unwrap_err().code().name, "blob_corrupt", "{text}");
        }
    }
}
