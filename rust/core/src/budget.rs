//! The retries that calls earn: a share of them, and a few a second whatever their number.

use crate::breaker::Ratio;
use crate::clock::Clock;
use crate::error::ConfigError;
use crate::limiter::RateLimiter;
use crate::quota::Quota;
use crate::sync::{AtomicU64, Ordering};

/// How many calls' worth of retries is saved up at most.
pub const SAVED_CALLS: u64 = 500;

/// What bounds the retries of many calls together.
///
/// Every call earns a share of a retry, up to what [`SAVED_CALLS`] earn, and one at least; besides,
/// a limiter grants a few. So in any stretch of time there are at most ratio · calls + saved +
/// reserve retries. Shares are counted in fractions of a retry, as whole numbers: nothing is rounded.
#[derive(Debug)]
pub struct RetryBudget {
    /// What is saved, in parts: a call earns `earned` of them, and a retry takes `price`.
    saved: AtomicU64,
    earned: u64,
    price: u64,
    most: u64,
    reserve: RateLimiter,
}

impl RetryBudget {
    /// Builds one with nothing saved and its reserve full.
    ///
    /// # Errors
    /// [`ConfigError`] where the ratio has more digits than can be counted with.
    pub fn new(ratio: Ratio, reserve: Quota) -> Result<Self, ConfigError> {
        let (earned, price) = ratio.parts();
        let most = earned.checked_mul(SAVED_CALLS).map(|most| most.max(price));
        let most = most.filter(|most| most.checked_add(earned).is_some()).ok_or_else(|| {
            ConfigError::new("ratio", format!("must have fewer digits than {earned}/{price}"))
        })?;
        let reserve = RateLimiter::new(&[reserve])?;
        Ok(Self { saved: AtomicU64::new(0), earned, price, most, reserve })
    }

    /// Notes a call, which earns its share.
    #[inline]
    pub fn deposit(&self) {
        // No sum overflows: `new` has checked the greatest.
        let more = |saved: u64| {
            let sum = (saved + self.earned).min(self.most);
            (sum != saved).then_some(sum)
        };
        // Relaxed: the word is all there is to see. A full budget is left as it is.
        let _ = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Takes one retry out of what is saved, or else out of the reserve.
    pub fn try_withdraw(&self, clock: &impl Clock) -> bool {
        let less = |saved: u64| saved.checked_sub(self.price);
        // Relaxed, as above.
        self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
            || self.reserve.try_acquire(clock, 1)
    }

    /// Tells how many retries could be taken now, those of the reserve included.
    pub fn available(&self, clock: &impl Clock) -> u64 {
        // Relaxed, as above.
        let saved = self.saved.load(Ordering::Relaxed) / self.price;
        saved.saturating_add(self.reserve.peek(clock.now(), 0).remaining)
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::nanos::Nanos;
    use crate::rate::Rate;

    fn budget(part: u64, whole: u64, reserve: u64) -> RetryBudget {
        let rate = Rate::per(reserve, Nanos::from_secs(1)).unwrap();
        RetryBudget::new(Ratio::new(part, whole).unwrap(), Quota::new(rate, reserve).unwrap())
            .unwrap()
    }

    fn drain(budget: &RetryBudget, clock: &ManualClock) -> u64 {
        (0..10_000).take_while(|_| budget.try_withdraw(clock)).map(|_| 1).sum()
    }

    #[test]
    fn a_retry_takes_what_five_calls_earn() {
        let (budget, clock) = (budget(1, 5, 0), ManualClock::new(Nanos::ZERO));
        for _ in 0..4 {
            budget.deposit();
        }
        assert!(!budget.try_withdraw(&clock));
        budget.deposit();
        assert_eq!(budget.available(&clock), 1);
        assert!(budget.try_withdraw(&clock));
        assert!(!budget.try_withdraw(&clock));
    }

    #[test]
    fn no_more_is_saved_than_five_hundred_calls_earn() {
        let (budget, clock) = (budget(1, 5, 0), ManualClock::new(Nanos::ZERO));
        for _ in 0..10_000 {
            budget.deposit();
        }
        assert_eq!(drain(&budget, &clock), 100);
    }

    #[test]
    fn a_small_share_adds_up_to_one_retry_at_least() {
        let (budget, clock) = (budget(1, 1_000, 0), ManualClock::new(Nanos::ZERO));
        for _ in 0..999 {
            budget.deposit();
        }
        assert_eq!(drain(&budget, &clock), 0);
        budget.deposit();
        assert_eq!(drain(&budget, &clock), 1);
    }

    #[test]
    fn the_reserve_comes_back_with_time() {
        let (budget, clock) = (budget(0, 1, 10), ManualClock::new(Nanos::ZERO));
        assert_eq!(drain(&budget, &clock), 10);
        clock.advance(Nanos::new(500_000_000));
        assert_eq!(budget.available(&clock), 5);
        assert_eq!(drain(&budget, &clock), 5);
    }

    #[test]
    fn a_ratio_of_too_many_digits_is_refused() {
        let ratio = Ratio::new(u64::MAX / 3, u64::MAX).unwrap();
        let quota = Quota::new(Rate::per(1, Nanos::from_secs(1)).unwrap(), 1).unwrap();
        assert!(RetryBudget::new(ratio, quota).is_err());
    }
}
