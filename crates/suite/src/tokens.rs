//! Issuers of a test's own, and the tokens they sign: good ones, and such as nobody may take.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256},
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

/// The audience of a server that is told none.
const AUDIENCE: &str = "angarium";

/// Keys that are for tests only, everybody's.
fn test_key(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../identity/tests/keys").join(name)
}

/// Somebody who signs tokens.
pub struct Signer {
    /// `iss` of the tokens.
    pub issuer: String,
    /// `kid` of their headers, if there is one.
    pub key_id: Option<String>,
    key: Key,
}

enum Key {
    Secret(String),
    Rsa { pair: Box<rsa::KeyPair>, public: PathBuf },
    P256 { pair: EcdsaKeyPair, public: PathBuf },
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// HS256.
    pub fn secret(issuer: &str, secret: &str) -> Signer {
        Signer::new(issuer, Key::Secret(secret.to_owned()))
    }

    /// RS256 with a test key of 2048 bits.
    pub fn rsa(issuer: &str) -> Signer {
        Signer::new(issuer, rsa_key("rsa"))
    }

    /// The same, with a key that nobody has been told of.
    pub fn strange_rsa(issuer: &str) -> Signer {
        Signer::new(issuer, rsa_key("rsa-other"))
    }

    /// ES256 with a test key.
    pub fn p256(issuer: &str) -> Signer {
        let der = private(&test_key("p256.pem"));
        let (by, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pair = EcdsaKeyPair::from_pkcs8(by, der.secret_pkcs8_der(), &random).expect("a key of P-256");
        Signer::new(issuer, Key::P256 { pair, public: test_key("p256.pub.pem") })
    }

    /// EdDSA with a new key, which goes by a name.
    pub fn ed25519(issuer: &str, key_id: &str) -> Signer {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("there is randomness");
        let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).expect("a key of Ed25519");
        Signer { key_id: Some(key_id.to_owned()), ..Signer::new(issuer, Key::Ed25519(pair)) }
    }

    fn new(issuer: &str, key: Key) -> Signer {
        Signer { issuer: issuer.to_owned(), key_id: None, key }
    }

    /// What a server's configuration has to say to believe it.
    ///
    /// # Panics
    /// For a key that is in no file: it belongs into a key set.
    pub fn config(&self) -> String {
        let keys = match &self.key {
            Key::Secret(secret) => format!("secret = {secret:?}"),
            Key::Rsa { public, .. } | Key::P256 { public, .. } => format!("public_key = {public:?}"),
            Key::Ed25519(_) => panic!("this key is in no file"),
        };
        format!("[[auth.issuers]]\nissuer = {:?}\n{keys}\n", self.issuer)
    }

    /// Its public key as a member of a key set (RFC 8037 §2).
    ///
    /// # Panics
    /// For other keys than Ed25519.
    pub fn jwk(&self) -> Value {
        let Key::Ed25519(pair) = &self.key else { panic!("only keys of Ed25519 are put into key sets here") };
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": self.key_id, "x": x })
    }

    /// What a good token says: for an hour, for this server.
    pub fn claims(&self, subject: &str) -> Value {
        let now = now_s();
        json!({ "iss": self.issuer, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 3_600 })
    }

    /// A good token.
    pub fn token(&self, subject: &str) -> String {
        self.sign(&self.claims(subject))
    }

    /// A good token, but for some claims.
    pub fn token_but(&self, subject: &str, others: &Value) -> String {
        let mut claims = self.claims(subject);
        for (name, value) in others.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        self.sign(&claims)
    }

    /// A token with these claims, whatever they are.
    pub fn sign(&self, claims: &Value) -> String {
        let mut header = json!({ "alg": self.algorithm(), "typ": "JWT" });
        if let Some(id) = &self.key_id {
            header["kid"] = json!(id);
        }
        assemble(&header, claims, |message| self.signature(message))
    }

    /// A token that nobody signed, and says so.
    pub fn unsigned(&self, subject: &str) -> String {
        assemble(&json!({ "alg": "none", "typ": "JWT" }), &self.claims(subject), |_| Vec::new())
    }

    /// A token signed with the text of the public key, as if that were a secret.
    ///
    /// # Panics
    /// When the public key is in no file.
    pub fn signed_with_the_public_key(&self, subject: &str) -> String {
        let (Key::Rsa { public, .. } | Key::P256 { public, .. }) = &self.key else {
            panic!("this key is in no file")
        };
        let text = std::fs::read_to_string(public).expect("the test keys are there");
        Signer::secret(&self.issuer, &text).token(subject)
    }

    fn algorithm(&self) -> &'static str {
        match &self.key {
            Key::Secret(_) => "HS256",
            Key::Rsa { .. } => "RS256",
            Key::P256 { .. } => "ES256",
            Key::Ed25519(_) => "EdDSA",
        }
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Secret(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Key::Rsa { pair, .. } => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("it can sign");
                signature
            }
            Key::P256 { pair, .. } => pair.sign(&random, message).expect("it can sign").as_ref().to_vec(),
            Key::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// Seconds since 1970.
#[allow(clippy::disallowed_methods, reason = "tokens are for the server's clock, which is this machine's")]
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn rsa_key(name: &str) -> Key {
    let der = private(&test_key(&format!("{name}.pem")));
    let pair = rsa::KeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("an RSA key");
    Key::Rsa { pair: Box::new(pair), public: test_key(&format!("{name}.pub.pem")) }
}

fn private(path: &std::path::Path) -> PrivatePkcs8KeyDer<'static> {
    PrivatePkcs8KeyDer::from_pem_file(path).expect("the test keys are there")
}

/// Header, claims and signature, between dots (RFC 7515 §3.1).
fn assemble(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}
