//! The error codes of blobs.

angarium_base::codes! {
    /// A blob's name has 1 to 512 letters, digits and `-`, `.`, `_`, in segments of at most 120 with `/` between them. No segment is empty or ends with `.`.
    INVALID_BLOB_NAME = "invalid_blob_name": Invalid;
    /// A blob's content type is a media type of at most 120 visible ASCII characters, like `image/png`.
    INVALID_BLOB_TYPE = "invalid_blob_type": Invalid;
    /// A range begins before it ends, and ends within the blob.
    INVALID_BLOB_RANGE = "invalid_blob_range": Invalid;
    /// The app has no blob by that name.
    BLOB_NOT_FOUND = "blob_not_found": NotFound;
    /// The blob is larger than the server takes. The detail names the limit. Nothing of it was kept.
    BLOB_TOO_LARGE = "blob_too_large": TooLarge;
    /// What the store holds is not what was put there: bytes are missing or different, or it was not written by this server. Put the blob again; look at the store.
    BLOB_CORRUPT = "blob_corrupt": Internal;
    /// The setting for blobs is a path, `file:///path` or `s3://bucket/prefix`; the last one needs a region and keys.
    INVALID_BLOBS_TARGET = "invalid_blobs_target": Invalid;
}
