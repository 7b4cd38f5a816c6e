//! The error codes of the store.

angarium_base::codes! {
    /// The store refused a statement. This is a fault of the server; the log has the cause.
    STORE_FAILED = "store_failed": Internal;
    /// Another process has this data directory open. Stop it first, or choose another directory with `--data-dir`.
    DATA_DIR_IN_USE = "data_dir_in_use": Conflict;
    /// The data directory was written by a newer version. Start that version, or a newer one.
    SCHEMA_NEWER = "schema_newer": Conflict;
    /// The database lacks a step of the schema that this version needs. Run `angarium migrate`, or start with `migrate = true`.
    SCHEMA_OLDER = "schema_older": Conflict;
    /// The URL of the store cannot be read. It is `postgres://user:password@host:5432/database`.
    INVALID_STORE_URL = "invalid_store_url": Invalid;
    /// A backup is not what its manifest says. Do not restore from it; make another one.
    BACKUP_BROKEN = "backup_broken": Conflict;
}
