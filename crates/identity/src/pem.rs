//! Public keys from PEM text (RFC 7468): SubjectPublicKeyInfo (RFC 5280 §4.1.2.7, RFC 5480, RFC 8410) and certificates,
//! of which only the key counts: nobody but the settings vouches for it.

use crate::key::{Key, KeySet, Material, Unusable};
use rustls::pki_types::pem::{PemObject, SectionKind};
use x509_cert::{
    Certificate,
    der::{Decode, Reader, SliceReader, asn1::ObjectIdentifier, asn1::UintRef, referenced::OwnedToRef},
    spki::SubjectPublicKeyInfoRef,
};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The keys in `text`: at least one, at most [`crate::KEYS_MAX`].
pub(crate) fn keys(text: &str) -> Result<KeySet, Unusable> {
    let begun = text.matches("-----BEGIN ").count();
    if begun > crate::KEYS_MAX {
        return Err("there are more than 100 keys");
    }
    let mut keys = vec![];
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        let (kind, der) = section.map_err(|_| "the PEM text is damaged")?;
        keys.push(Key::new(match kind {
            SectionKind::PublicKey => public_key(&der)?,
            SectionKind::Certificate => certificate(&der)?,
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Err(
                    "that is a private key; give its public key, as `openssl pkey -pubout` writes it",
                );
            }
            _ => return Err(NEITHER),
        }));
    }
    match keys.len() {
        0 if begun == 0 => Err("that is not PEM text"),
        // Sections that the reader does not know are left out by it.
        read if read != begun => Err(NEITHER),
        _ => Ok(KeySet(keys)),
    }
}

const NEITHER: Unusable =
    "PEM sections are PUBLIC KEY or CERTIFICATE; convert others with `openssl pkey -pubout`";

fn certificate(der: &[u8]) -> Result<Material, Unusable> {
    let certificate = Certificate::from_der(der).map_err(|_| "the certificate is damaged")?;
    of_info(certificate.tbs_certificate.subject_public_key_info.owned_to_ref())
}

fn public_key(der: &[u8]) -> Result<Material, Unusable> {
    of_info(SubjectPublicKeyInfoRef::from_der(der).map_err(|_| DAMAGED)?)
}

const DAMAGED: Unusable = "the public key is damaged";

fn of_info(info: SubjectPublicKeyInfoRef<'_>) -> Result<Material, Unusable> {
    let bytes = info.subject_public_key.as_bytes().ok_or(DAMAGED)?;
    match info.algorithm.oid {
        RSA => rsa(bytes),
        EC => {
            let curve = info.algorithm.parameters_oid().map_err(|_| DAMAGED)?;
            match (curve, Material::point(bytes)?) {
                (P256, key @ Material::P256(_)) | (P384, key @ Material::P384(_)) => Ok(key),
                _ => Err("an EC key is on P-256 or P-384"),
            }
        }
        ED25519 => Material::ed25519(bytes),
        _ => Err("a key is RSA, EC on P-256 or P-384, or Ed25519"),
    }
}

/// An RSAPublicKey (RFC 8017 §A.1.1).
fn rsa(der: &[u8]) -> Result<Material, Unusable> {
    let numbers = || {
        let mut reader = SliceReader::new(der)?;
        let numbers = reader.sequence(|inner| Ok((UintRef::decode(inner)?, UintRef::decode(inner)?)))?;
        reader.finish(numbers)
    };
    let (n, e) = numbers().map_err(|_| DAMAGED)?;
    Material::rsa(n.as_bytes(), e.as_bytes())
}
