//! The error codes of the store.

angarium_base::codes! {
    /// The store refused a statement. This is a fault of the server; the log has the cause.
    STORE_FAILED = "store_failed": Internal;
    /// Another process has this data directory open. Stop it first, or choose another directory with `--data-dir`.
    DATA_DIR_IN_USE = "data_dir_in_use": Conflict;
    /// The data directory was written by a newer version. Start that version, or a newer one.
    SCHEMA_NEWER = "schema_newer": Conflict;
    /// A backup is not what its manifest says. Do not restore from it; make another one.
    BACKUP_BROKEN = "backup_broken": Conflict;
}
