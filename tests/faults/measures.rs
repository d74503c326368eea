//! Times that were measured, and what to say of them.

use std::fmt;
use std::time::Duration;

/// Many times.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn note(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn p99(&self) -> Duration {
        self.percentile(99)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that so many of a hundred were within.
    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(at).copied().unwrap_or_default()
    }
}

impl Extend<Times> for Times {
    fn extend<I: IntoIterator<Item = Times>>(&mut self, all: I) {
        for times in all {
            self.0.extend(times.0);
        }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most, longest] = [50, 99, 100].map(|percent| self.percentile(percent));
        write!(f, "p50 {half:.1?}, p99 {most:.1?}, at most {longest:.1?}")
    }
}

#[test]
fn ninety_nine_of_a_hundred_are_within_the_ninety_ninth_percentile() {
    let mut times = Times::default();
    for millis in (1..=200).rev() {
        times.note(Duration::from_millis(millis));
    }
    assert_eq!((times.count(), times.p99()), (200, Duration::from_millis(198)));
    assert_eq!(Times::default().p99(), Duration::ZERO);
}
