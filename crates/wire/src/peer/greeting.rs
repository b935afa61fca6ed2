//! The greeting of one link, from either end.
//!
//! The dialer speaks first; the listener says nothing before it has seen the magic. With a secret the
//! dialer also proves first: a stranger gets no proof out of a listener. A proof covers the
//! fields of both hellos, so versions, names and nonces cannot be changed on the way, and the role of who
//! made it, so none can be sent back to its maker.
//!
//! Invariants:
//! * [`Greeted`] is reached only with a common version, and, if either has a secret, a valid proof.
//! * After an error nothing is read any more.

use super::handshake::{
    ClusterSecret, GreetingError, Hello, MAGIC, Peer, Role, SecretState, Word, put_hello,
};

/// How far a call of [`Greeting::read`] got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Greeted {
    /// Bytes of the input that are used up; what is behind them is not the greeting's if `peer` is there.
    pub used: usize,
    /// The other side, when the greeting is over. Frames follow.
    pub peer: Option<Peer>,
}

/// One end's view.
pub struct Greeting {
    role: Role,
    own: Hello,
    secret: Option<ClusterSecret>,
    state: State,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    /// For the magic and the other side's hello.
    AwaitsHello,
    /// For its proof.
    AwaitsProof { peer: Peer, other: Hello },
    /// Done.
    Over,
    /// Never.
    Failed(GreetingError),
}

impl Greeting {
    /// The end that connected; its hello goes to `out`. The hello's [`Hello::secret`] is set here.
    #[must_use]
    pub fn dial(own: Hello, secret: Option<ClusterSecret>, out: &mut Vec<u8>) -> Greeting {
        let greeting = Greeting::new(Role::Dialer, own, secret);
        greeting.say_hello(out);
        greeting
    }

    /// The end that was connected to.
    #[must_use]
    pub fn accept(own: Hello, secret: Option<ClusterSecret>) -> Greeting {
        Greeting::new(Role::Listener, own, secret)
    }

    fn new(role: Role, own: Hello, secret: Option<ClusterSecret>) -> Greeting {
        let state = if secret.is_some() { SecretState::Set } else { SecretState::Unset };
        let own = Hello { secret: state, ..own };
        Greeting { role, own, secret, state: State::AwaitsHello }
    }

    /// Reads what came and was not used up. What has to be said goes to `out`, also before an error: send
    /// it, then close.
    ///
    /// # Errors
    /// There will be no link; the same error again if it is called again.
    pub fn read(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Greeted, GreetingError> {
        let mut used = 0;
        loop {
            match self.step(&input[used..], out) {
                Ok(Some((bytes, None))) => used += bytes,
                Ok(Some((bytes, peer))) => {
                    self.state = State::Over;
                    return Ok(Greeted { used: used + bytes, peer });
                }
                Ok(None) => return Ok(Greeted { used, peer: None }),
                Err(error) => {
                    if error.is_told() && !matches!(self.state, State::Failed(_)) {
                        Word::Refused(error.to_string()).encode(out);
                    }
                    self.state = State::Failed(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// Takes one word. `None`: not all of it is there, or nothing is awaited.
    fn step(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<(usize, Option<Peer>)>, GreetingError> {
        let magic = match &self.state {
            State::Over => return Ok(None),
            State::Failed(error) => return Err(error.clone()),
            State::AwaitsHello => MAGIC.len(),
            State::AwaitsProof { .. } => 0,
        };
        let shared = magic.min(input.len());
        if input[..shared] != MAGIC[..shared] {
            return Err(GreetingError::NotAPeer);
        }
        let Some((word, bytes)) = Word::decode(&input[shared..])? else { return Ok(None) };
        let peer = match (word, &self.state) {
            (Word::Refused(text), _) => return Err(GreetingError::Refused { text }),
            (Word::Hello(other), State::AwaitsHello) => self.on_hello(other, out)?,
            (Word::Proof(mac), State::AwaitsProof { peer, other }) => {
                let (peer, other) = (*peer, *other);
                Some(self.on_proof(mac, peer, &other, out)?)
            }
            _ => return Err(GreetingError::Malformed),
        };
        Ok(Some((shared + bytes, peer)))
    }

    fn on_hello(&mut self, other: Hello, out: &mut Vec<u8>) -> Result<Option<Peer>, GreetingError> {
        if self.role == Role::Listener {
            self.say_hello(out);
        }
        let version = self.agree(&other)?;
        let Hello { node, cluster, client_port, .. } = other;
        let peer = Peer { version, node, cluster, client_port };
        if self.secret.is_none() {
            return Ok(Some(peer));
        }
        if self.role == Role::Dialer {
            self.prove(&other, out);
        }
        self.state = State::AwaitsProof { peer, other };
        Ok(None)
    }

    /// The version to speak, if the two can do with one another.
    fn agree(&self, other: &Hello) -> Result<u16, GreetingError> {
        let own = &self.own;
        let version = own
            .versions
            .highest_common(other.versions)
            .ok_or(GreetingError::NoCommonVersion { own: own.versions, other: other.versions })?;
        if own.node == other.node {
            return Err(GreetingError::SameNode { node: own.node });
        }
        match (own.secret, other.secret) {
            (SecretState::Set, SecretState::Unset) => {
                Err(GreetingError::SecretMissingThere { node: other.node })
            }
            (SecretState::Unset, SecretState::Set) => {
                Err(GreetingError::SecretMissingHere { node: other.node })
            }
            _ => Ok(version),
        }
    }

    fn on_proof(
        &mut self,
        mac: [u8; 32],
        peer: Peer,
        other: &Hello,
        out: &mut Vec<u8>,
    ) -> Result<Peer, GreetingError> {
        let maker = match self.role {
            Role::Dialer => Role::Listener,
            Role::Listener => Role::Dialer,
        };
        let expected = self.mac(maker, other);
        if !expected.is_some_and(|expected| equal_in_constant_time(&expected, &mac)) {
            return Err(GreetingError::SecretDiffers { node: peer.node });
        }
        if self.role == Role::Listener {
            self.prove(other, out);
        }
        Ok(peer)
    }

    fn say_hello(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        Word::Hello(self.own).encode(out);
    }

    fn prove(&self, other: &Hello, out: &mut Vec<u8>) {
        if let Some(mac) = self.mac(self.role, other) {
            Word::Proof(mac).encode(out);
        }
    }

    /// What a node of that role proves its knowledge with: role, dialer's hello, listener's hello.
    fn mac(&self, maker: Role, other: &Hello) -> Option<[u8; 32]> {
        let secret = self.secret.as_ref()?;
        let (dialer, listener) = match self.role {
            Role::Dialer => (&self.own, other),
            Role::Listener => (other, &self.own),
        };
        let mut covered = vec![maker as u8];
        put_hello(&mut covered, dialer);
        put_hello(&mut covered, listener);
        Some(secret(&covered))
    }
}

/// Looks at every byte, wherever the first difference is.
fn equal_in_constant_time(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let difference = left.iter().zip(right).fold(0, |seen, (left, right)| seen | (left ^ right));
    std::hint::black_box(difference) == 0
}
