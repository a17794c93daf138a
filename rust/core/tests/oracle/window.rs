//! The promise itself: in no window are more permits used than burst + rate × window.

/// Permits that were used, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    /// The instant, in nanoseconds.
    pub(crate) at: u64,
    /// The permits.
    pub(crate) count: u64,
}

/// A quota as its definition reads: `permits` per `period` nanoseconds, `burst` at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// Permits per period.
    pub(crate) permits: u64,
    /// The period in nanoseconds.
    pub(crate) period: u64,
    /// The most at once.
    pub(crate) burst: u64,
}

impl Promise {
    /// 2^f with the least f for which a permit's worth of time is cut into nanoseconds or less.
    fn unit(&self) -> u128 {
        let mut unit = 1;
        while unit * u128::from(self.permits) < u128::from(self.period) {
            unit *= 2;
        }
        unit
    }

    /// Units gone by at an instant.
    fn present(&self, at: u64) -> i128 {
        let units = u128::from(at) * u128::from(self.permits) * self.unit();
        i128::try_from(units / u128::from(self.period)).expect("the tests keep within the range")
    }

    /// Whether `uses` keep the promise: every window that begins and ends with a use is looked at.
    pub(crate) fn is_kept_by(&self, uses: &[Use]) -> bool {
        uses.iter().all(|first| {
            uses.iter().filter(|last| last.at >= first.at).all(|last| {
                let within = |each: &&Use| (first.at..=last.at).contains(&each.at);
                let total: u64 = uses.iter().filter(within).map(|each| each.count).sum();
                let unit = i128::try_from(self.unit()).expect("a small power of two");
                let window = self.present(last.at) - self.present(first.at);
                i128::from(total) * unit <= i128::from(self.burst) * unit + window
            })
        })
    }

    /// Whether one more use at the end of `uses` keeps it.
    pub(crate) fn allows(&self, uses: &[Use], more: Use) -> bool {
        let uses: Vec<Use> = uses.iter().copied().chain([more]).collect();
        self.is_kept_by(&uses)
    }
}
