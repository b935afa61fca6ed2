//! TLS as configured: `tls-cert-file`, `tls-key-file`, `tls-ca-cert-file`, `tls-auth-clients`.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use trefoil_node::settings::Settings;

/// `tls-auth-clients`, as its words are numbered.
const AUTH_NO: u8 = 0;
const AUTH_OPTIONAL: u8 = 2;

/// What every TLS connection shares.
pub(crate) fn server_config(settings: &Settings) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates("tls-cert-file", &settings.tls_cert_file)?;
    let key_file = path("tls-key-file", &settings.tls_key_file)?;
    let key = PrivateKeyDer::from_pem_file(&key_file)
        .with_context(|| format!("tls-key-file {}: no key can be read", key_file.display()))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let auth = settings.tls_auth_clients.load(Relaxed);
    let builder = if auth == AUTH_NO {
        builder.with_no_client_auth()
    } else {
        let roots = Arc::new(authorities(settings)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
        let verifier =
            if auth == AUTH_OPTIONAL { verifier.allow_unauthenticated() } else { verifier };
        builder.with_client_cert_verifier(verifier.build()?)
    };
    let config = builder
        .with_single_cert(chain, key)
        .context("tls-cert-file and tls-key-file do not belong together")?;
    Ok(Arc::new(config))
}

fn authorities(settings: &Settings) -> Result<RootCertStore> {
    let given = certificates("tls-ca-cert-file", &settings.tls_ca_cert_file);
    let authorities = given.context(
        "clients' certificates can't be checked; give tls-ca-cert-file, or set tls-auth-clients no",
    )?;
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).context("tls-ca-cert-file")?;
    }
    Ok(roots)
}

fn certificates(name: &str, setting: &RwLock<Vec<u8>>) -> Result<Vec<CertificateDer<'static>>> {
    let file = path(name, setting)?;
    let read: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&file).and_then(|certificates| certificates.collect());
    let certificates = read.with_context(|| format!("{name} {}: can't be read", file.display()))?;
    ensure!(!certificates.is_empty(), "{name} {}: no certificate in it", file.display());
    Ok(certificates)
}

fn path(name: &str, setting: &RwLock<Vec<u8>>) -> Result<PathBuf> {
    let bytes = setting.read().unwrap_or_else(PoisonError::into_inner);
    if bytes.is_empty() {
        bail!("tls-port needs {name}");
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&bytes).into_owned()))
}
