//! Clocks: the machine's monotonic one, and one that a test moves by hand.

use crate::nanos::Nanos;
use crate::sync::{AtomicU64, Ordering};

/// Tells the present on a scale that never depends on the wall clock.
pub trait Clock {
    /// Reads the clock.
    fn now(&self) -> Nanos;
}

/// An instant is a clock that stands still: whoever knows the time hands it over as it is.
impl Clock for Nanos {
    #[inline]
    fn now(&self) -> Nanos {
        *self
    }
}

/// The machine's monotonic clock, on the scale that Python's `time.monotonic` and the event loops
/// use: the same for every process of the machine, counted from its start.
///
/// A read costs some 20 to 50 ns; a decision reads it once.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl MonotonicClock {
    /// How far [`MonotonicClock::tick`] lags behind the present: up to a tick of a slow kernel.
    pub const TICK: Nanos = Nanos::new(10_000_000);

    /// Reads the clock as of the kernel's last tick where the platform keeps that, for a fraction
    /// of the price: for what needs no exact time.
    #[cfg(target_os = "linux")]
    #[inline]
    #[must_use]
    pub fn tick(self) -> Nanos {
        read(rustix::time::ClockId::MonotonicCoarse)
    }

    /// Reads the clock; this platform keeps no cheaper one.
    #[cfg(not(target_os = "linux"))]
    #[inline]
    #[must_use]
    pub fn tick(self) -> Nanos {
        self.now()
    }
}

#[cfg(unix)]
#[inline]
fn read(clock: rustix::time::ClockId) -> Nanos {
    let time = rustix::time::clock_gettime(clock);
    // Neither part is negative on a monotonic clock.
    let (secs, nanos) = (time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned());
    Nanos::new(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
}

impl Clock for MonotonicClock {
    #[cfg(unix)]
    #[inline]
    fn now(&self) -> Nanos {
        read(rustix::time::ClockId::Monotonic)
    }

    #[cfg(not(unix))]
    #[expect(clippy::disallowed_methods, reason = "the clock module is where clocks are read")]
    fn now(&self) -> Nanos {
        use std::sync::OnceLock;
        use std::time::Instant;
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        Nanos::from(ORIGIN.get_or_init(Instant::now).elapsed())
    }
}

/// A clock that stands still until somebody moves it; tests share it with what they test.
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicU64,
}

impl ManualClock {
    /// Builds a clock that reads `start`.
    #[must_use]
    pub fn new(start: Nanos) -> Self {
        Self { now: AtomicU64::new(start.get()) }
    }

    /// Moves the clock forward by `span`, to the end of the range at most, and reads it.
    pub fn advance(&self, span: Nanos) -> Nanos {
        // AcqRel: whoever reads the new time also sees what the mover wrote before it.
        let before = self.now.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            Some(now.saturating_add(span.get()))
        });
        Nanos::new(before.unwrap_or_else(|now| now)) + span
    }

    /// Sets the clock to `now`, which may lie in its past.
    pub fn set(&self, now: Nanos) {
        // Release: whoever reads the new time also sees what the mover wrote before it.
        self.now.store(now.get(), Ordering::Release);
    }
}

impl Clock for ManualClock {
    #[inline]
    fn now(&self) -> Nanos {
        // Acquire: pairs with the mover's release.
        Nanos::new(self.now.load(Ordering::Acquire))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_counts_on_and_its_tick_is_no_later() {
        let (ticked, before) = (MonotonicClock.tick(), MonotonicClock.now());
        assert!(Nanos::ZERO < ticked && ticked <= before);
        let mut later = before;
        while later == before {
            later = MonotonicClock.now();
        }
        assert!(later > before);
    }

    #[test]
    fn the_monotonic_clock_never_goes_back() {
        let mut last = MonotonicClock.now();
        for _ in 0..10_000 {
            let now = MonotonicClock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn a_tick_never_lies_ahead() {
        let tick = MonotonicClock.tick();
        assert!(tick <= MonotonicClock.now());
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(Nanos::new(5));
        assert_eq!(clock.now(), Nanos::new(5));
        assert_eq!(clock.advance(Nanos::new(2)), Nanos::new(7));
        clock.set(Nanos::new(1));
        assert_eq!(clock.now(), Nanos::new(1));
        assert_eq!(clock.advance(Nanos::MAX), Nanos::MAX);
    }
}
