//! The parameters of what followers answer, and of answers that do not come.

use crate::config::place::Place;
use crate::config::shape::Shape;
use crate::settings::{FollowerWrites, FreshnessSettings};

use super::{COUNT, Parameter, parameter};

/// In this order everywhere.
pub(super) const FRESHNESS: &[Parameter] = &[
    parameter(
        "ack-timeout",
        COUNT,
        Place::Number(|s| &s.freshness.ack_timeout_ms),
        "5000",
        "Milliseconds after which a reply that waits for acknowledgements is given up: the client \
         gets -UNKNOWN, because the write may still come to be; 0: never.",
    ),
    parameter(
        "follower-writes",
        Shape::Word(FollowerWrites::NAMES),
        Place::Word(|s| &s.freshness.follower_writes),
        "forward",
        "What a follower does with writes: sends them on to the leader, refuses them, or tells where \
         the leader is (-MOVED).",
    ),
    parameter(
        "forward-timeout",
        COUNT,
        Place::Number(|s| &s.freshness.forward_timeout_ms),
        "10000",
        "Milliseconds that the leader's answer to a forwarded command is waited for; 0: for ever.",
    ),
    parameter(
        "leader-wait",
        COUNT,
        Place::Number(|s| &s.freshness.leader_wait_ms),
        "5000",
        "Milliseconds that commands wait while nobody leads, before they are refused; 0: not at all. \
         Only a cluster that agrees on who leads knows that somebody will.",
    ),
    parameter(
        "default-consistency",
        Shape::Word(FreshnessSettings::CONSISTENCIES),
        Place::Word(|s| &s.freshness.default_consistency),
        "session",
        "How fresh a follower's answers are for connections that did not say CONSISTENCY.",
    ),
    parameter(
        "default-bound",
        COUNT,
        Place::Number(|s| &s.freshness.default_bound_ms),
        "1000",
        "Milliseconds that go with `default-consistency bounded`.",
    ),
    parameter(
        "session-wait",
        COUNT,
        Place::Number(|s| &s.freshness.session_wait_ms),
        "100",
        "Milliseconds that a follower waits for what a session has seen before it asks the leader.",
    ),
    parameter(
        "session-scope",
        Shape::Word(FreshnessSettings::SCOPES),
        Place::Word(|s| &s.freshness.session_scope),
        "host",
        "Which connections without a name are one session: those of a host, because pools write on \
         one connection and read on another, or each its own.",
    ),
];
