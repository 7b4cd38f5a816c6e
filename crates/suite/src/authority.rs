//! An authority of a test's own, and the certificates it gives out.

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{net::Ipv4Addr, path::Path, sync::Arc};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, both in PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

impl Authority {
    pub fn new() -> Authority {
        let (mut params, key) = (CertificateParams::default(), new_key());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate is made").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// For a server on 127.0.0.1.
    pub fn server(&self) -> Pair {
        self.server_until(4_000)
    }

    /// The same, valid until the first of January of a year.
    pub fn server_until(&self, year: i32) -> Pair {
        let mut params = CertificateParams::new(vec!["localhost".into()]).expect("a name");
        params.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
        params.not_after = date_time_ymd(year, 1, 1);
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub fn client(&self) -> Pair {
        let params = CertificateParams::new(vec!["client".into()]).expect("a name");
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose) -> Pair {
        let key = new_key();
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate is made");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Pair {
    /// Puts both into a folder, as `cert.pem` and `key.pem`, each in one move.
    pub fn write(&self, folder: &Path) {
        for (name, content) in [("key.pem", &self.key), ("cert.pem", &self.certificate)] {
            let new = folder.join("new.pem");
            std::fs::write(&new, content).expect("the folder can be written to");
            std::fs::rename(&new, folder.join(name)).expect("it can be renamed");
        }
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("ring makes keys")
}

/// How a client speaks TLS that trusts these authorities (PEM; nobody, if empty), shows a certificate if it has one, and
/// offers these protocols.
pub fn tls_client(ca: &str, certificate: Option<&Pair>, protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("an authority's certificate");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows TLS")
        .with_root_certificates(roots);
    let mut config = match certificate {
        None => config.with_no_client_auth(),
        Some(pair) => {
            let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect::<Result<_, _>>();
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
            config.with_client_auth_cert(chain.expect("PEM"), key).expect("they fit")
        }
    };
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}
