//! The identity port: who a JSON Web Token speaks for, if its issuer is known here.
//!
//! ```text
//!  known(token)  ── SHA-256, one look-up ──▶ Identity, when it was verified before and is not expired
//!  verify(token) ── iss ──▶ issuer's keys ── signature ──▶ claims ──▶ Identity, remembered until exp
//!                             │ a secret, PEM, or a key set at a URL: fetched lazily, again by age
//!                             └ and on an unknown `kid`; one fetch for all who wait, none before the floor
//! ```
//!
//! Promises, each with its test in `tests/contract.rs`:
//! * an algorithm is never chosen by the token alone: a key is used only with the algorithms of its type, and of its
//!   issuer (RFC 8725 §3.1); `none` is no algorithm, and a secret is never taken out of a key set;
//! * nothing but the compact form (RFC 7515 §7.1) in at most [`TOKEN_MAX_BYTES`], without a second way of writing the
//!   same bytes, and no member of header or claims twice;
//! * a key that has left its issuer's set is not accepted after the refresh, nor are tokens remembered from before;
//! * keys that were fetched once go on being used while the issuer's server is away or has none to give; none at all is an outage
//!   (`identity_keys_unavailable`) and not a bad token;
//! * what is fetched and what is remembered is bounded, and no message holds a token, a claim or a key.
//!
//! | Key | Algorithms (RFC 7518 §3, RFC 8037 §3.1) | From |
//! |---|---|---|
//! | secret of 32, 48, 64 bytes or more | HS256, HS384, HS512 | [`Keys::Secret`] |
//! | RSA of 2048 to 8192 bits | RS256, RS384, RS512, PS256, PS384, PS512 | [`Keys::Pem`], [`Keys::Jwks`] |
//! | EC P-256, P-384 | ES256, ES384 | the same |
//! | Ed25519 | EdDSA | the same |

mod algorithm;
mod claims;
mod codes;
mod fetch;
mod jwk;
mod key;
mod mint;
mod pem;
mod remembered;
mod remote;
mod settings;
mod token;
mod verifier;

pub use codes::{CODES, IDENTITY_KEYS_UNAVAILABLE, INVALID_IDENTITY_SETTINGS, INVALID_TOKEN};
pub use fetch::KEY_SET_MAX_BYTES;
pub use jwk::KEYS_MAX;
pub use mint::{SigningKey, mint};
pub use remembered::REMEMBERED_MAX;
pub use remote::KeySetState;
pub use settings::{Fetching, Issuer, Keys, LEEWAY_MAX, Settings};
pub use token::{TOKEN_MAX_BYTES, looks_like_token};
pub use verifier::{IssuerState, Verifier};

use angarium_base::clock::Millis;

/// Who a token speaks for. A principal is (`issuer`, `tenant`, `subject`); the address may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// As in the settings, hence as in the token.
    pub issuer: String,
    /// 1 to 255 characters, none of them a control character.
    pub tenant: Option<String>,
    /// As `tenant`.
    pub subject: String,
    /// In lower case, and only if the issuer does not say that it is unverified.
    pub email: Option<String>,
    /// `exp` of the token, without leeway.
    pub expires_at: Millis,
}
