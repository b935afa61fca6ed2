//! The same server over TLS.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::node::{Node, command};

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// A certificate for `localhost` that vouches for itself, in files for the server.
fn certificate(dir: &Path) -> rcgen::CertifiedKey<rcgen::KeyPair> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("it is made");
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).expect("it is written");
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).expect("it is written");
    made
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// A node without a plain port.
pub(crate) fn start(auth_clients: &str) -> (Node, rcgen::CertifiedKey<rcgen::KeyPair>) {
    let dir = tempfile::tempdir().expect("a folder");
    let made = certificate(dir.path());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (cert, key, port) = (file("cert.pem"), file("key.pem"), free_port().to_string());
    let words = [
        "--port",
        "0",
        "--tls-port",
        &port,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &cert,
        "--tls-auth-clients",
        auth_clients,
    ];
    (Node::start_in(dir, &words), made)
}

fn connect(node: &Node, made: &rcgen::CertifiedKey<rcgen::KeyPair>, shows_one: Shows) -> TlsStream {
    let address = node.ready[1].strip_prefix("tls://").expect("it is the only one");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("it is a certificate");
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("they are known")
        .with_root_certificates(roots);
    let config = match shows_one {
        Shows::Nothing => builder.with_no_client_auth(),
        Shows::Certificate => {
            let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
            let chain = vec![made.cert.der().clone()];
            builder.with_client_auth_cert(chain, key).expect("they belong together")
        }
    };
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a good configuration");
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).expect("a duration");
    StreamOwned::new(session, stream)
}

/// What a client shows of itself.
enum Shows {
    Nothing,
    Certificate,
}

#[test]
fn large_values_and_pipelines_pass_through_tls() {
    let (node, made) = start("no");
    let mut client = connect(&node, &made, Shows::Nothing);
    let value: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
    client.write_all(&command(&[b"SET", b"key", &value])).expect("it is read");
    let mut reply = [0; 5];
    client.read_exact(&mut reply).expect("a reply");
    assert_eq!(&reply, b"+OK\r\n");
    client.write_all(&command(&[b"GET", b"key"]).repeat(5)).expect("it is read");
    for _ in 0..5 {
        let mut reply = vec![0; b"$3000000\r\n".len() + value.len() + 2];
        client.read_exact(&mut reply).expect("a reply");
        assert!(reply[10..].starts_with(&value));
    }
    client.write_all(&b"PING\r\n".repeat(10_000)).expect("it is read");
    let mut replies = vec![0; 70_000];
    client.read_exact(&mut replies).expect("replies");
    assert_eq!(replies, b"+PONG\r\n".repeat(10_000));
    client.write_all(b"QUIT\r\n").expect("it is read");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("it says goodbye before it closes");
    assert_eq!(rest, b"+OK\r\n");
}

#[test]
fn clients_without_a_certificate_stay_out_if_one_is_asked_for() {
    let (node, made) = start("yes");
    let mut client = connect(&node, &made, Shows::Certificate);
    client.write_all(b"PING\r\n").expect("it is read");
    let mut reply = [0; 7];
    client.read_exact(&mut reply).expect("a reply");
    assert_eq!(&reply, b"+PONG\r\n");
    let mut stranger = connect(&node, &made, Shows::Nothing);
    let refused = stranger.write_all(b"PING\r\n").and_then(|()| stranger.read_exact(&mut reply));
    assert!(refused.is_err());
}

#[test]
fn plain_text_at_the_tls_port_harms_nobody() {
    let (node, made) = start("no");
    let address = node.ready[1].strip_prefix("tls://").expect("it is the only one");
    let mut plain = TcpStream::connect(address).expect("it listens");
    plain.write_all(b"PING\r\n").expect("it is read");
    let mut answer = Vec::new();
    // An alert, or nothing; then it is closed.
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"+PONG"));
    let mut client = connect(&node, &made, Shows::Nothing);
    client.write_all(b"PING\r\n").expect("it is read");
    let mut reply = [0; 7];
    client.read_exact(&mut reply).expect("a reply");
    assert_eq!(&reply, b"+PONG\r\n");
}
