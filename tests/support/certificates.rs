//! Certificates of an authority of the test's own, for servers that speak TLS.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A server's certificate, and who vouches for it.
pub struct Certified {
    /// The authority, as PEM.
    pub authority: String,
    /// The certificate, as PEM.
    pub certificate: String,
    /// Its key, as PEM.
    pub key: String,
    config: ServerConfig,
}

impl Certified {
    /// For one name.
    pub fn of(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "user-sync-bench");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let signed = params.signed_by(&key, &issuer).unwrap();
        let (certificate, key_pem) = (signed.pem(), key.serialize_pem());
        let signed: CertificateDer<'static> = signed.into();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![signed], key).unwrap();
        Self { authority, certificate, key: key_pem, config }
    }

    /// What a server on rustls is made of.
    pub fn config(&self) -> ServerConfig {
        self.config.clone()
    }
}
