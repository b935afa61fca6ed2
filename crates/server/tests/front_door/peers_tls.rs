//! TLS between nodes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use crate::node::{Node, server};
use crate::peers::{assert_follows, follower, knock, leader};
use crate::process::stop;

/// Who vouches for nodes.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(vec![]).expect("no names are no bad names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("it is made");
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), "ca", &issuer.pem());
        Authority { issuer, dir }
    }

    /// The words of a node at that address, with a certificate of its own.
    fn words(&self, host: &str) -> Vec<String> {
        let params = CertificateParams::new(vec![host.to_string()]).expect("a good name");
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("it is made");
        let (dir, name) = (self.dir.path(), next_number());
        [
            ("cert", write(dir, &format!("{name}-cert"), &cert.pem())),
            ("key", write(dir, &format!("{name}-key"), &key.serialize_pem())),
            ("ca-cert", dir.join("ca.pem").display().to_string()),
        ]
        .into_iter()
        .flat_map(|(what, file)| [format!("--peer-tls-{what}-file"), file])
        .collect()
    }
}

/// No two files have the same name.
fn next_number() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static LAST: AtomicUsize = AtomicUsize::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

fn write(dir: &Path, name: &str, pem: &str) -> String {
    let file = dir.join(format!("{name}.pem"));
    std::fs::write(&file, pem).expect("it is written");
    file.display().to_string()
}

fn borrowed(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn links_under_tls_carry_what_plain_ones_do() {
    let authority = Authority::new();
    let leader = leader(&borrowed(&authority.words("127.0.0.1")));
    let second = follower(&leader, &borrowed(&authority.words("127.0.0.1")));
    assert_follows(&second, &leader, b"small");
    let value: Vec<u8> = (0..5_000_000_u32).map(|index| (index % 251) as u8).collect();
    assert_follows(&second, &leader, &value);
}

#[test]
fn a_plain_node_does_not_follow_one_with_tls_and_both_say_why() {
    let authority = Authority::new();
    let leader = leader(&borrowed(&authority.words("127.0.0.1")));
    let plain = follower(&leader, &[]);
    plain.wait_for("can't be followed: it speaks TLS");
    leader.wait_for("turned away: TLS with it failed");
    leader.assert_serves();
}

#[test]
fn a_node_with_tls_does_not_follow_a_plain_one_and_both_say_why() {
    let authority = Authority::new();
    let leader = leader(&[]);
    let second = follower(&leader, &borrowed(&authority.words("127.0.0.1")));
    second.wait_for("before TLS was agreed");
    leader.wait_for("turned away: it speaks TLS");
    let plain = follower(&leader, &[]);
    assert_follows(&plain, &leader, b"value");
}

#[test]
fn nodes_of_different_authorities_stay_apart_and_both_say_why() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let leader = leader(&borrowed(&ours.words("127.0.0.1")));
    let stranger = follower(&leader, &borrowed(&theirs.words("127.0.0.1")));
    stranger.wait_for("can't be followed: TLS with it failed: invalid peer certificate");
    leader.wait_for("turned away: TLS with it failed");
    let second = follower(&leader, &borrowed(&ours.words("127.0.0.1")));
    assert_follows(&second, &leader, b"value");
}

#[test]
fn a_follower_whose_own_certificate_is_of_another_authority_is_told() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let leader = leader(&borrowed(&ours.words("127.0.0.1")));
    let mut words = theirs.words("127.0.0.1");
    // It trusts the leader; the leader does not trust it.
    words[5] = ours.dir.path().join("ca.pem").display().to_string();
    let stranger = follower(&leader, &borrowed(&words));
    stranger.wait_for("can't be followed: TLS with it failed: received fatal alert");
    leader.wait_for("turned away: TLS with it failed: invalid peer certificate");
}

#[test]
fn a_leader_with_another_name_than_was_dialled_is_not_followed() {
    let authority = Authority::new();
    let leader = leader(&borrowed(&authority.words("db.example")));
    let second = follower(&leader, &borrowed(&authority.words("127.0.0.1")));
    second.wait_for("can't be followed: TLS with it failed: invalid peer certificate");
    leader.wait_for("turned away: TLS with it failed");
}

#[test]
fn the_port_for_nodes_is_not_asked_for_over_tls_and_that_is_said() {
    let (leader, _) = crate::tls::start("no");
    let address = leader.ready[1].strip_prefix("tls://").expect("it is the only one");
    let port = address.rsplit(':').next().expect("an address has a port");
    let second = Node::start(&["--peer", "off", "--replicaof", &format!("127.0.0.1 {port}")]);
    second.wait_for("it speaks TLS there; name a plain port");
}

#[test]
fn who_shows_no_certificate_is_turned_away() {
    let authority = Authority::new();
    let leader = leader(&borrowed(&authority.words("127.0.0.1")));
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).expect("it is a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("they are known")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").expect("an address");
    let session = ClientConnection::new(Arc::new(config), name).expect("a good configuration");
    let stream: TcpStream = knock(&leader);
    let mut stranger = StreamOwned::new(session, stream);
    let mut answer = [0; 1];
    let refused = stranger.write_all(b"hello").and_then(|()| stranger.read_exact(&mut answer));
    assert!(refused.is_err());
    leader.wait_for("turned away: TLS with it failed: peer sent no certificates");
}

#[test]
fn a_node_says_which_of_the_three_files_is_missing_or_unreadable() {
    let authority = Authority::new();
    let words = authority.words("127.0.0.1");
    let start = |words: &[String]| {
        let output = server(&["--port", "0", "--http", "off"])
            .args(["--peer", "127.0.0.1:0", "--data-dir"])
            .arg(authority.dir.path().join("data"))
            .args(words)
            .output()
            .expect("the binary runs");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (at, name) in words.iter().step_by(2).enumerate() {
        let name = name.trim_start_matches("--");
        let mut without = words.clone();
        without.drain(2 * at..2 * at + 2);
        let told = start(&without);
        assert!(told.contains(&format!("needs {name}")), "{told}");
        let mut wrong = words.clone();
        wrong[2 * at + 1] = "/no/such/file".into();
        let told = start(&wrong);
        assert!(told.contains(&format!("{name} /no/such/file: ")), "{told}");
    }
    let others = authority.words("127.0.0.1");
    let mixed = [&words[..2], &others[2..]].concat();
    let told = start(&mixed);
    assert!(told.contains("do not belong together"), "{told}");
}

#[test]
fn a_leader_that_is_back_is_followed_again_under_tls() {
    let authority = Authority::new();
    let words = authority.words("127.0.0.1");
    let mut first = leader(&borrowed(&words));
    let second = follower(&first, &borrowed(&authority.words("127.0.0.1")));
    assert_follows(&second, &first, b"before");
    let port = first.address().port().to_string();
    stop(&mut first);
    second.wait_for("can't be followed");
    let dir = std::mem::replace(&mut first.dir, tempfile::tempdir().expect("a folder"));
    let place = ["--port", &port, "--peer", "127.0.0.1:0"];
    let again = Node::start_in(dir, &[&place[..], &borrowed(&words)].concat());
    assert_follows(&second, &again, b"behind");
}
