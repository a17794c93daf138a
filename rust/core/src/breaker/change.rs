//! What goes in and out of a breaker: permits, outcomes, refusals and changes of state.

use crate::nanos::Nanos;

use super::probes::Lease;
use super::state::{CircuitState, Word};

/// How an admitted call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The far side did its work.
    Success,
    /// The far side failed.
    Failure,
    /// The call says nothing about the far side (it was cancelled, say).
    Ignored,
}

/// What a permit is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Its result goes to the window.
    Recorded,
    /// Its result is part of a verdict.
    Probe(Lease),
    /// Its result is not wanted.
    Untracked,
}

/// The leave to make one call, to be settled once by [`super::Breaker::settle`].
#[derive(Debug)]
pub struct Permit {
    pub(super) generation: u64,
    pub(super) role: Role,
    pub(super) entered: Nanos,
}

impl Permit {
    pub(super) const fn new(word: Word, role: Role, entered: Nanos) -> Self {
        Self { generation: word.generation(), role, entered }
    }

    /// Packs a permit of [`super::Breaker::enter_freely`] into a number, for callers to whom an object
    /// is dear; nothing where it is a probe's. A number keeps no time of entry.
    #[must_use]
    pub fn pack(&self) -> Option<u64> {
        match self.role {
            Role::Recorded => Some(self.generation << 1),
            Role::Untracked => Some(self.generation << 1 | 1),
            Role::Probe(_) => None,
        }
    }

    /// Gives back what was packed, to be settled once like any other.
    #[must_use]
    pub const fn unpack(packed: u64) -> Self {
        let role = if packed & 1 == 0 { Role::Recorded } else { Role::Untracked };
        Self { generation: packed >> 1, role, entered: Nanos::ZERO }
    }
}

/// A call that was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The state that refused.
    pub state: CircuitState,
    /// How long until a call may be admitted; nothing where only a hand can tell.
    pub retry_after: Option<Nanos>,
}

/// The answer to a call that wants in.
#[derive(Debug)]
pub struct Entry {
    /// The permit, or why there is none.
    pub verdict: Result<Permit, Refusal>,
    /// The change of state that asking brought, whatever the verdict.
    pub change: Option<Change>,
}

/// A change of state; from metrics-only to itself where it passed a threshold for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The state before.
    pub from: CircuitState,
    /// The state after.
    pub to: CircuitState,
    /// When it happened, on the clock's scale.
    pub at: Nanos,
    /// The ticket of the trip, where it was one.
    pub trip: Option<Trip>,
}

/// The ticket of a trip, which [`super::Breaker::set_break`] takes with the true break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    pub(super) generation: u64,
    pub(super) at: Nanos,
    /// How many times in a row the breaker has tripped without closing, this one included.
    pub consecutive: u64,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_packed_permit_keeps_its_generation_and_its_role() {
        for (state, role) in
            [(CircuitState::Closed, Role::Recorded), (CircuitState::Disabled, Role::Untracked)]
        {
            let permit = Permit::new(Word::new(state, 8_191, 0), role, Nanos::ZERO);
            let unpacked = Permit::unpack(permit.pack().expect("no probe"));
            assert_eq!((unpacked.generation, unpacked.role), (8_191, role));
        }
    }
}
