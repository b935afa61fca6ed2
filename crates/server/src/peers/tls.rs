//! TLS between nodes: both ends show a certificate, and check the other's against the same authorities.
//!
//! Who dials also checks the name: the host that it was told. Links are few and last, so nothing is
//! resumed: each is checked from the beginning. Nodes speak TLS 1.3 only.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use mio::net::TcpStream;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use trefoil_node::settings::Settings;

use crate::event_loop::Transport;
use crate::pem::NamedFile;

/// What all links of a node share.
pub(crate) struct PeerTls {
    accepting: Arc<ServerConfig>,
    dialling: Arc<ClientConfig>,
}

impl PeerTls {
    /// As `peer-tls-*` say. None: none of them is given.
    pub(crate) fn configured(settings: &Settings) -> Result<Option<PeerTls>> {
        let settings = &settings.replication;
        let cert = NamedFile::given("peer-tls-cert-file", &settings.peer_tls_cert_file);
        let key = NamedFile::given("peer-tls-key-file", &settings.peer_tls_key_file);
        let ca = NamedFile::given("peer-tls-ca-cert-file", &settings.peer_tls_ca_cert_file);
        let (cert, key, ca) = match (cert, key, ca) {
            (None, None, None) => return Ok(None),
            (Some(cert), Some(key), Some(ca)) => (cert, key, ca),
            (None, ..) => bail!("TLS between nodes needs peer-tls-cert-file as well"),
            (_, None, _) => bail!("TLS between nodes needs peer-tls-key-file as well"),
            (.., None) => bail!("TLS between nodes needs peer-tls-ca-cert-file as well"),
        };
        let (chain, key, roots) = (cert.certificates()?, key.key()?, Arc::new(ca.authorities()?));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .context("peer-tls-ca-cert-file")?;
        let apart = "peer-tls-cert-file and peer-tls-key-file do not belong together";
        let mut accepting = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .context(apart)?;
        accepting.send_tls13_tickets = 0;
        let mut dialling = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .context(apart)?;
        dialling.resumption = Resumption::disabled();
        Ok(Some(PeerTls { accepting: Arc::new(accepting), dialling: Arc::new(dialling) }))
    }

    /// For a node that has connected.
    pub(super) fn accept(&self, stream: TcpStream) -> Result<Transport, String> {
        let session = ServerConnection::new(Arc::clone(&self.accepting));
        session.map(|session| Transport::tls(stream, session)).map_err(|error| error.to_string())
    }

    /// For a connection to that host.
    pub(super) fn dial(&self, stream: TcpStream, host: &str) -> Result<Transport, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("'{host}' is no name that a certificate can have"))?;
        let session = ClientConnection::new(Arc::clone(&self.dialling), name);
        session.map(|session| Transport::tls(stream, session)).map_err(|error| error.to_string())
    }
}
