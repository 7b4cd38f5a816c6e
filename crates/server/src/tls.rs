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
#[derive(Clone, Debug, PartialEq)]
pub struct Stamp {
    pub modified_at: Option<SystemTime>,
    pub size_bytes: u64,
    pub inode: u64,
}

impl Stamp {
    pub fn of(metadata: &Metadata) -> Stamp {
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

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use std::path::PathBuf;

    /// 2026-01-01.
    const NOW: Millis = 1_767_225_600_000;

    /// A folder that goes away with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            let folder = std::env::temp_dir().join(format!("angarium-tls-test-{:016x}", fastrand::u64(..)));
            fs::create_dir(&folder).unwrap();
            Folder(folder)
        }

        fn files(&self) -> config::Tls {
            let file = |name| self.0.join(name);
            config::Tls { certificate: file("cert.pem"), key: file("key.pem"), client_ca: PathBuf::new() }
        }

        /// Puts a new pair there, as a tool does that renames; valid in these years.
        fn put(&self, years: std::ops::Range<i32>) -> (String, KeyPair) {
            let (certificate, key) = pair(years);
            self.write("key.pem", &key.serialize_pem());
            self.write("cert.pem", &certificate);
            (certificate, key)
        }

        fn write(&self, name: &str, content: &str) {
            let new = self.0.join("new");
            fs::write(&new, content).unwrap();
            fs::rename(&new, self.0.join(name)).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn pair(years: std::ops::Range<i32>) -> (String, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key)
    }

    fn open(files: &config::Tls) -> Tls {
        Tls::open(files).unwrap().unwrap()
    }

    fn refused(looked: Result<bool>) -> String {
        looked.unwrap_err().message().to_owned()
    }

    /// The instant at which a year begins.
    fn year(year: i32) -> Millis {
        time::parse(&format!("{year}-01-01T00:00:00.000Z")).unwrap()
    }

    #[test]
    fn without_a_certificate_there_is_no_tls() {
        assert!(Tls::open(&config::Tls::default()).unwrap().is_none());
    }

    #[test]
    fn a_new_pair_is_taken_over_as_a_whole() {
        let folder = Folder::new();
        folder.put(2025..2030);
        let tls = open(&folder.files());
        assert_eq!(tls.validity(), Validity { from: year(2025), until: year(2030) });
        assert!(!tls.look(NOW).unwrap(), "nothing has changed");
        let (certificate, key) = pair(2025..2031);
        folder.write("cert.pem", &certificate);
        assert!(refused(tls.look(NOW)).contains("it is not the key of the certificate in"), "half of a pair");
        assert_eq!(tls.validity().until, year(2030));
        folder.write("key.pem", &key.serialize_pem());
        assert!(tls.look(NOW).unwrap());
        assert_eq!(tls.validity().until, year(2031));
        assert!(!tls.look(NOW).unwrap(), "it is taken over once");
    }

    #[test]
    fn what_cannot_be_used_is_named_and_the_old_pair_stays() {
        let folder = Folder::new();
        let (good, key) = folder.put(2025..2030);
        let files = folder.files();
        let tls = open(&files);
        let (other, _) = pair(2025..2031);
        for (name, content, named) in [
            ("cert.pem", "", "it has no certificate in PEM"),
            ("cert.pem", &good[..good.len() / 2], "it has no certificate in PEM"),
            ("cert.pem", &*key.serialize_pem(), "it has no certificate in PEM"),
            ("key.pem", "", "it has no private key in PEM"),
            ("key.pem", &good, "it has no private key in PEM"),
            ("cert.pem", &other, "it is not the key of the certificate"),
        ] {
            folder.write("cert.pem", &good);
            folder.write("key.pem", &key.serialize_pem());
            folder.write(name, content);
            let message = refused(tls.look(NOW));
            assert!(message.contains(named), "{named}: {message}");
            assert_eq!(tls.validity().until, year(2030));
        }
        fs::remove_file(&files.key).unwrap();
        let message = refused(tls.look(NOW));
        let named = format!("http.tls.key {}: it cannot be read", files.key.display());
        assert!(message.starts_with(&named), "{message}");
        assert!(Tls::open(&files).is_err(), "a start does not go without");
    }

    #[test]
    fn a_pair_that_is_not_valid_now_does_not_replace_one_that_is() {
        let folder = Folder::new();
        folder.put(2025..2030);
        let tls = open(&folder.files());
        folder.put(2020..2022);
        assert!(refused(tls.look(NOW)).contains("it has expired at 2022-01-01"));
        folder.put(2027..2032);
        assert!(refused(tls.look(NOW)).contains("it is not valid before 2027-01-01"));
        assert_eq!(tls.validity().until, year(2030));
        assert!(tls.look(year(2028)).unwrap(), "its time has come");
        assert_eq!(tls.trouble(year(2028)).map(|error| error.message().to_owned()), None);
        // The one in use has ended: no other can be worse.
        folder.put(2040..2041);
        assert!(tls.look(year(2033)).unwrap());
        assert!(tls.trouble(year(2033)).is_some());
    }

    #[test]
    fn a_file_with_authorities_is_looked_at_too() {
        let folder = Folder::new();
        folder.put(2025..2030);
        let files = config::Tls { client_ca: folder.0.join("ca.pem"), ..folder.files() };
        folder.write("ca.pem", "nobody");
        let message = Tls::open(&files).err().unwrap().message().to_owned();
        assert!(
            message.starts_with(&format!("http.tls.client_ca {}", files.client_ca.display())),
            "{message}"
        );
        folder.write("ca.pem", &pair(2025..2030).0);
        let tls = open(&files);
        assert!(!tls.look(NOW).unwrap());
        folder.write("ca.pem", &pair(2025..2030).0);
        assert!(tls.look(NOW).unwrap());
    }
}
