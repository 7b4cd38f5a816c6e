//! The error codes of the feed.

angarium_base::codes! {
    /// The feed cannot be opened as configured. The message says what is wrong; the URL is not repeated, because it may hold a password.
    INVALID_FEED = "invalid_feed": Invalid;
}
