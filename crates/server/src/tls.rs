//! The certificate of the listener and its key: read from files, and taken over again when the files change.
//!
//! ```text
//! acceptor() ──▶ the pair in use (a pointer that is swapped, never locked)
//! look(): a file has another stamp ─▶ read and check all of them ─▶ swap
//!                                              └─ cannot be used: the old pair stays, the next look tries again
//! ```
//!
//! Connections keep the pair that they began with.

use crate::config::{self, INVALID_CONFIG};
use angarium_base::{Error, Result, clock::Millis, time};
use angarium_kit::Kit;
use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use std::{
    fmt::Display,
    fs::{self, File, Metadata},
    io::Read,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio_rustls::TlsAcceptor;
use x509_cert::der::Decode;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);
/// No chain of certificates and no key is larger.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What clients may speak, the better first (RFC 7301, RFC 9113 §3.2).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

pub struct Tls {
    files: config::Tls,
    current: ArcSwap<Pair>,
}

/// A certificate, its key, and whom it lets in.
struct Pair {
    acceptor: TlsAcceptor,
    validity: Validity,
    stamps: Vec<Stamp>,
}

impl Tls {
    /// Reads the files; `None` where no certificate is configured. Touches the disk. Whether the certificate is valid
    /// now is another matter: see [`Tls::trouble`].
    ///
    /// # Errors
    /// `invalid_config`, naming the key, the file and the reason.
    pub fn open(files: &config::Tls) -> Result<Option<Tls>> {
        if !files.is_on() {
            return Ok(None);
        }
        let current = ArcSwap::from_pointee(Pair::read(files)?);
        Ok(Some(Tls { files: files.clone(), current }))
    }

    /// What a new connection is answered with.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.current.load().acceptor.clone()
    }

    pub fn validity(&self) -> Validity {
        self.current.load().validity
    }

    /// Why clients will refuse the certificate in use, if they will.
    pub fn trouble(&self, now: Millis) -> Option<Error> {
        self.validity().trouble(now).map(|reason| wrong("certificate", &self.files.certificate, reason))
    }

    /// Takes the files over if one is not the one that was read; whether it did. Touches the disk.
    ///
    /// # Errors
    /// As [`Tls::open`], and when the new certificate is not valid now while the one in use is.
    pub fn look(&self, now: Millis) -> Result<bool> {
        let current = self.current.load();
        if stamps(&self.files)? == current.stamps {
            return Ok(false);
        }
        let pair = Pair::read(&self.files)?;
        if let Some(reason) = pair.validity.trouble(now)
            && current.validity.trouble(now).is_none()
        {
            return Err(wrong("certificate", &self.files.certificate, reason));
        }
        self.current.store(Arc::new(pair));
        Ok(true)
    }

    /// Looks until the server stops.
    pub async fn follow(self: Arc<Tls>, kit: Kit) {
        let mut said = String::new();
        loop {
            let left_s = (self.validity().until - kit.clock.now()) / 1_000;
            kit.metrics.tls_expires.get_or_create(&[]).set(left_s);
            if kit.stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                return;
            }
            let (tls, now) = (self.clone(), kit.clock.now());
            match tokio::task::spawn_blocking(move || tls.look(now)).await {
                Ok(Ok(false)) => said.clear(),
                Ok(Ok(true)) => {
                    said.clear();
                    tracing::info!(until = %time::format(self.validity().until), "the certificate was reloaded");
                }
                // Said once, not with every look.
                Ok(Err(error)) if error.message() != said => {
                    error.message().clone_into(&mut said);
                    tracing::warn!(reason = %said, "the new certificate is not used; the old one stays");
                }
                Ok(Err(_)) => {}
                Err(error) => tracing::error!(%error, "reloading the certificate ended in a panic"),
            }
        }
    }
}

/// When a certificate is valid, both ends included (RFC 5280 §4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Validity {
    pub from: Millis,
    pub until: Millis,
}

impl Validity {
    fn of(certificate: &CertificateDer) -> Option<Validity> {
        let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
        let validity = certificate.tbs_certificate.validity;
        let at = |time: x509_cert::time::Time| time.to_unix_duration().as_millis() as Millis;
        Some(Validity { from: at(validity.not_before), until: at(validity.not_after) })
    }

    fn trouble(self, now: Millis) -> Option<String> {
        match self {
            Validity { from, .. } if now < from => {
                Some(format!("it is not valid before {}", time::format(from)))
            }
            Validity { until, .. } if now > until => {
                Some(format!("it has expired at {}; renew it", time::format(until)))
            }
            _ => None,
        }
    }
}

impl Pair {
    fn read(files: &config::Tls) -> Result<Pair> {
        // Stamps are older than contents: a file that changes meanwhile is taken over again next time.
        let stamps = stamps(files)?;
        let chain = certificates("certificate", &files.certificate)?;
        let refused = |reason: &str| wrong("certificate", &files.certificate, reason);
        let validity = chain.first().and_then(Validity::of);
        let validity = validity.ok_or_else(|| refused("its first certificate is no X.509 certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&read("key", &files.key)?).map_err(|_| {
            wrong("key", &files.key, "it has no private key in PEM (PKCS#8, PKCS#1 or SEC1, not encrypted)")
        })?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(&error.to_string()))?;
        let builder = match client_verifier(files)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => wrong(
                "key",
                &files.key,
                format!("it is not the key of the certificate in {}", files.certificate.display()),
            ),
            error => wrong("key", &files.key, error),
        })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Pair { acceptor: TlsAcceptor::from(Arc::new(config)), validity, stamps })
    }
}

/// Asks clients for a certificate, if the configuration says by whom.
fn client_verifier(files: &config::Tls) -> Result<Option<Arc<dyn ClientCertVerifier>>> {
    if files.client_ca.as_os_str().is_empty() {
        return Ok(None);
    }
    let refused = |reason: &dyn Display| wrong("client_ca", &files.client_ca, reason);
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client_ca", &files.client_ca)? {
        roots.add(certificate).map_err(|error| refused(&error))?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map(Some).map_err(|error| refused(&error))
}

fn certificates(key: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(key, file)?;
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(wrong(key, file, "it has no certificate in PEM")),
    }
}

fn read(key: &str, file: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|open| open.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|error| wrong(key, file, format!("it cannot be read: {error}")))?;
    Ok(bytes)
}

fn wrong(key: &str, file: &Path, reason: impl Display) -> Error {
    INVALID_CONFIG.err(format!("http.tls.{key} {}: {reason}", file.display()))
}

/// What tells one file at a path from the next.
#[derive(Debug, PartialEq)]
struct Stamp {
    modified_at: Option<SystemTime>,
    size_bytes: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp { modified_at: metadata.modified().ok(), size_bytes: metadata.len(), inode: metadata.ino() }
    }
}

fn stamps(files: &config::Tls) -> Result<Vec<Stamp>> {
    [("certificate", &files.certificate), ("key", &files.key), ("client_ca", &files.client_ca)]
        .into_iter()
        .filter(|(_, file)| !file.as_os_str().is_empty())
        .map(|(key, file)| match fs::metadata(file) {
            Ok(found) if found.is_file() => Ok(Stamp::of(&found)),
            Ok(_) => Err(wrong(key, file, "it is not a file")),
            Err(error) => Err(wrong(key, file, format!("it cannot be read: {error}"))),
        })
        .collect()
}
