//! The algorithms a token may be signed with (RFC 7518 §3.1, RFC 8037 §3.1). `none` is not among them.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

const NAMES: [(Algorithm, &str); 12] = [
    (Algorithm::Hs256, "HS256"),
    (Algorithm::Hs384, "HS384"),
    (Algorithm::Hs512, "HS512"),
    (Algorithm::Rs256, "RS256"),
    (Algorithm::Rs384, "RS384"),
    (Algorithm::Rs512, "RS512"),
    (Algorithm::Ps256, "PS256"),
    (Algorithm::Ps384, "PS384"),
    (Algorithm::Ps512, "PS512"),
    (Algorithm::Es256, "ES256"),
    (Algorithm::Es384, "ES384"),
    (Algorithm::EdDsa, "EdDSA"),
];

impl Algorithm {
    pub fn all() -> impl Iterator<Item = Algorithm> {
        NAMES.into_iter().map(|(algorithm, _)| algorithm)
    }

    /// The algorithm of exactly this name: names are case-sensitive (RFC 7515 §4.1.1). `Ed25519` is the newer name of
    /// what `EdDSA` is here (RFC 9864 §2.2).
    pub fn named(name: &str) -> Option<Algorithm> {
        if name == "Ed25519" {
            return Some(Algorithm::EdDsa);
        }
        NAMES.into_iter().find(|(_, known)| *known == name).map(|(algorithm, _)| algorithm)
    }

    pub fn name(self) -> &'static str {
        NAMES.into_iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }

    /// Whether the same key signs and verifies.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512)
    }
}

/// `ES256, RS256`: for messages.
pub(crate) fn names(algorithms: &[Algorithm]) -> String {
    algorithms.iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(", ")
}
