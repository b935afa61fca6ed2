//! TLS as configured: `tls-cert-file`, `tls-key-file`, `tls-ca-cert-file`, `tls-auth-clients`.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, RwLock};

use anyhow::{Context, Result};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use trefoil_node::settings::Settings;

use crate::pem::NamedFile;

/// `tls-auth-clients`, as its words are numbered.
const AUTH_NO: u8 = 0;
const AUTH_OPTIONAL: u8 = 2;

/// What every TLS connection shares.
pub(crate) fn server_config(settings: &Settings) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = file("tls-cert-file", &settings.tls_cert_file)?.certificates()?;
    let key = file("tls-key-file", &settings.tls_key_file)?.key()?;
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
    let given =
        file("tls-ca-cert-file", &settings.tls_ca_cert_file).and_then(|file| file.authorities());
    given.context(
        "clients' certificates can't be checked; give tls-ca-cert-file, or set tls-auth-clients no",
    )
}

fn file(parameter: &'static str, setting: &RwLock<Vec<u8>>) -> Result<NamedFile> {
    NamedFile::given(parameter, setting).with_context(|| format!("tls-port needs {parameter}"))
}
