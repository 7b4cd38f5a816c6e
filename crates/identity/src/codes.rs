//! The error codes of identity.

angarium_base::codes! {
    /// The token is not one that this server takes. The detail says what is wrong with it: expired, for another audience, of an unknown issuer, not signed by a known key. Get a new one from its issuer.
    INVALID_TOKEN = "invalid_token": Unauthenticated;
    /// The keys that the token could be checked with were never fetched, and cannot be at the moment. Nothing is wrong with the token. Try again after `Retry-After` seconds.
    IDENTITY_KEYS_UNAVAILABLE = "identity_keys_unavailable": Unavailable;
    /// What is set about issuers, keys or audiences of tokens cannot be used. The detail names the issuer and what to change.
    INVALID_IDENTITY_SETTINGS = "invalid_identity_settings": Invalid;
}
