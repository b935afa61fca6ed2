//! The greeting between nodes, from both ends at once.

use std::sync::Arc;

use proptest::prelude::*;
use trefoil_clock::{ClusterId, NodeId};
use trefoil_wire::peer::{
    ClusterSecret, Greeting, GreetingError, Hello, PEER_VERSIONS, Peer, SecretState, VersionRange,
};

const GOLDEN: &str = include_str!("golden/peer-greeting-v1.txt");

fn hello(node: u128) -> Hello {
    Hello {
        versions: PEER_VERSIONS,
        node: NodeId(node),
        cluster: ClusterId(0xc0 + node),
        nonce: [node as u8; 32],
        client_port: 6378 + node as u16,
        secret: SecretState::Unset,
    }
}

/// No hash, but it depends on the key and on all that it covers.
fn secret(key: u8) -> Option<ClusterSecret> {
    Some(Arc::new(move |covered: &[u8]| {
        let mut mac = [key; 32];
        for (at, byte) in covered.iter().enumerate() {
            mac[at % 32] = mac[at % 32].wrapping_mul(31).wrapping_add(*byte);
        }
        mac
    }))
}

type Outcome = Result<Peer, GreetingError>;

/// Two ends and what each said and came to.
struct Meeting {
    ends: [Greeting; 2],
    said: [Vec<u8>; 2],
    heard: [usize; 2],
    outcomes: [Option<Outcome>; 2],
    transcript: Vec<String>,
}

impl Meeting {
    fn new(dialer: Hello, key: Option<ClusterSecret>, listener: Greeting) -> Meeting {
        let mut said = Vec::new();
        let dialer = Greeting::dial(dialer, key, &mut said);
        let transcript = vec![format!("dialer {}", hex(&said))];
        let (heard, outcomes) = ([0; 2], [None, None]);
        Meeting { ends: [dialer, listener], said: [said, vec![]], heard, outcomes, transcript }
    }

    /// Passes at most `most` bytes on to each end, in turn, until nobody has more to say.
    fn run(mut self, most: usize) -> Meeting {
        let mut shown = [0usize; 2];
        loop {
            let before = self.heard;
            for end in [1, 0] {
                let from = 1 - end;
                let until = self.said[from].len().min(shown[end].saturating_add(most));
                shown[end] = until;
                self.pass(end, until);
            }
            if self.heard == before && (0..2).all(|end| shown[end] == self.said[1 - end].len()) {
                return self;
            }
        }
    }

    fn pass(&mut self, end: usize, until: usize) {
        if self.outcomes[end].is_some() {
            return;
        }
        let mut out = Vec::new();
        let input = &self.said[1 - end][self.heard[end]..until];
        match self.ends[end].read(input, &mut out) {
            Ok(greeted) => {
                self.heard[end] += greeted.used;
                self.outcomes[end] = greeted.peer.map(Ok);
            }
            Err(error) => self.outcomes[end] = Some(Err(error)),
        }
        if !out.is_empty() {
            self.transcript.push(format!("{} {}", ["dialer", "listener"][end], hex(&out)));
        }
        self.said[end].extend_from_slice(&out);
    }

    fn outcomes(self) -> (Outcome, Outcome) {
        let [dialer, listener] = self.outcomes;
        (dialer.expect("the dialer came to an end"), listener.expect("the listener too"))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn meet(keys: [Option<ClusterSecret>; 2]) -> Meeting {
    let [dialer, listener] = keys;
    Meeting::new(hello(1), dialer, Greeting::accept(hello(2), listener)).run(usize::MAX)
}

fn peer(node: u128) -> Peer {
    let Hello { node, cluster, client_port, .. } = hello(node);
    Peer { version: 1, node, cluster, client_port }
}

#[test]
fn the_bytes_of_greetings_are_pinned() {
    let scripts = [
        ("no secret", meet([None, None])),
        ("one secret", meet([secret(5), secret(5)])),
        ("two secrets", meet([secret(5), secret(6)])),
    ];
    let mut actual = String::new();
    for (title, meeting) in scripts {
        actual += &format!("# {title}\n{}\n", meeting.transcript.join("\n"));
    }
    assert_eq!(actual, GOLDEN);
}

#[test]
fn both_learn_who_the_other_is() {
    for keys in [[None, None], [secret(5), secret(5)]] {
        assert_eq!(meet(keys).outcomes(), (Ok(peer(2)), Ok(peer(1))));
    }
}

#[test]
fn different_secrets_are_told_to_both() {
    let (dialer, listener) = meet([secret(5), secret(6)]).outcomes();
    assert_eq!(listener, Err(GreetingError::SecretDiffers { node: NodeId(1) }));
    let Err(GreetingError::Refused { text }) = dialer else { panic!("{dialer:?}") };
    assert!(text.starts_with("the cluster secrets of this node and of node 0000"), "{text}");
}

#[test]
fn a_secret_on_one_side_only_is_told_to_both() {
    let (dialer, listener) = meet([None, secret(6)]).outcomes();
    assert_eq!(dialer, Err(GreetingError::SecretMissingHere { node: NodeId(2) }));
    assert_eq!(listener, Err(GreetingError::SecretMissingThere { node: NodeId(1) }));
    let (dialer, listener) = meet([secret(6), None]).outcomes();
    assert_eq!(dialer, Err(GreetingError::SecretMissingThere { node: NodeId(2) }));
    assert_eq!(listener, Err(GreetingError::SecretMissingHere { node: NodeId(1) }));
}

#[test]
fn the_newest_common_version_is_spoken_or_none() {
    let range = |min, max| VersionRange { min, max };
    assert_eq!(range(1, 3).highest_common(range(2, 5)), Some(3));
    assert_eq!(range(1, 2).highest_common(range(3, 5)), None);
    assert_eq!(range(4, 9).highest_common(range(1, 3)), None);
    let (own, other) = (range(2, 3), PEER_VERSIONS);
    let dialer = Hello { versions: own, ..hello(1) };
    let meeting = Meeting::new(dialer, None, Greeting::accept(hello(2), None)).run(usize::MAX);
    let (dialer, listener) = meeting.outcomes();
    assert_eq!(dialer, Err(GreetingError::NoCommonVersion { own, other }));
    assert_eq!(listener, Err(GreetingError::NoCommonVersion { own: other, other: own }));
    assert_eq!(
        listener.expect_err("they differ").to_string(),
        "no common protocol version: this node speaks 1, the other one 2 to 3"
    );
}

#[test]
fn a_node_does_not_follow_itself() {
    let meeting = Meeting::new(hello(1), None, Greeting::accept(hello(1), None)).run(usize::MAX);
    let same = GreetingError::SameNode { node: NodeId(1) };
    assert_eq!(meeting.outcomes(), (Err(same.clone()), Err(same)));
}

#[test]
fn who_is_no_node_gets_no_word() {
    let mut out = Vec::new();
    let mut listener = Greeting::accept(hello(2), secret(5));
    let refused = listener.read(b"GET / HTTP/1.1\r\n\r\n", &mut out);
    assert_eq!(refused, Err(GreetingError::NotAPeer));
    assert_eq!(listener.read(b"TREFOILP", &mut out), Err(GreetingError::NotAPeer));
    assert!(out.is_empty());
}

#[test]
fn a_proof_of_another_link_is_worth_nothing() {
    let recorded = meet([secret(5), secret(5)]);
    let mut listener = Greeting::accept(Hello { nonce: [77; 32], ..hello(2) }, secret(5));
    let refused = listener.read(&recorded.said[0], &mut Vec::new());
    assert_eq!(refused, Err(GreetingError::SecretDiffers { node: NodeId(1) }));
}

#[test]
fn a_proof_sent_back_to_its_maker_is_worth_nothing() {
    let mut said = Vec::new();
    let mut dialer = Greeting::dial(hello(1), secret(5), &mut said);
    let mut listener = Vec::new();
    Greeting::accept(hello(2), secret(5)).read(&said, &mut listener).expect("a hello");
    let mut proof = Vec::new();
    dialer.read(&listener, &mut proof).expect("a hello");
    let refused = dialer.read(&proof, &mut Vec::new());
    assert_eq!(refused, Err(GreetingError::SecretDiffers { node: NodeId(2) }));
}

#[test]
fn what_follows_the_greeting_is_left_alone() {
    let recorded = meet([secret(5), secret(5)]);
    let mut listener = Greeting::accept(hello(2), secret(5));
    let input = [&recorded.said[0][..], b"frames"].concat();
    let greeted = listener.read(&input, &mut Vec::new()).expect("a greeting");
    assert_eq!(greeted.peer, Some(peer(1)));
    assert_eq!(&input[greeted.used..], b"frames");
}

#[test]
fn a_hello_of_a_later_version_may_be_longer() {
    let mut said = Vec::new();
    let _dialer = Greeting::dial(hello(1), None, &mut said);
    said.extend_from_slice(b"more");
    let len = (said.len() - 14) as u32;
    said[8..10].copy_from_slice(&(len as u16).to_le_bytes());
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&len.to_le_bytes());
    digest.update(&said[14..]);
    said[10..14].copy_from_slice(&(digest.finalize() as u32).to_le_bytes());
    let greeted = Greeting::accept(hello(2), None).read(&said, &mut Vec::new());
    assert_eq!(greeted.map(|greeted| greeted.peer), Ok(Some(peer(1))));
}

proptest! {
    #[test]
    fn a_greeting_in_pieces_is_the_same(most in 1usize..200) {
        let listener = Greeting::accept(hello(2), secret(5));
        let meeting = Meeting::new(hello(1), secret(5), listener).run(most);
        prop_assert_eq!(meeting.outcomes(), (Ok(peer(2)), Ok(peer(1))));
    }

    #[test]
    fn bytes_that_were_changed_never_make_a_peer(
        at in any::<prop::sample::Index>(),
        bit in 0..8,
        keyed in any::<bool>(),
    ) {
        let key = || if keyed { secret(5) } else { None };
        let mut said = meet([key(), key()]).said[0].clone();
        let at = at.index(said.len());
        said[at] ^= 1u8 << bit;
        let greeted = Greeting::accept(hello(2), key()).read(&said, &mut Vec::new());
        prop_assert!(!matches!(greeted, Ok(greeted) if greeted.peer.is_some()));
    }
}
