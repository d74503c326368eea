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

/// How fast something grows that was measured now and then, in units a minute: the slope of the line that is nearest
/// to all of it, by least squares.
pub(crate) fn growth(samples: &[(Duration, f64)]) -> f64 {
    let count = samples.iter().map(|_| 1.0).sum::<f64>();
    let minutes = |time: &Duration| time.as_secs_f64() / 60.0;
    let mean_time = samples.iter().map(|(time, _)| minutes(time)).sum::<f64>() / count;
    let mean = samples.iter().map(|(_, value)| value).sum::<f64>() / count;
    let (mut along, mut across) = (0.0, 0.0);
    for (time, value) in samples {
        let from_mean = minutes(time) - mean_time;
        along += from_mean * (value - mean);
        across += from_mean * from_mean;
    }
    along / across
}

#[test]
fn growth_is_told_from_what_comes_and_goes() {
    let samples = |value: fn(u32) -> f64| -> Vec<(Duration, f64)> {
        (0..150).map(|number| (Duration::from_secs(10) * number, value(number))).collect()
    };
    // What is taken and given back again, and once for all.
    let sawtooth = |number: u32| 60.0 + f64::from(number % 7);
    assert!(growth(&samples(sawtooth)).abs() < 0.05);
    assert!(growth(&samples(|number| f64::from(u32::from(number > 2)))).abs() < 0.05);

    // The control: a little more each time, under the same noise.
    let leak = |number: u32| 60.0 + f64::from(number % 7) + 1.5 * f64::from(number) / 6.0;
    assert!((1.4..1.6).contains(&growth(&samples(leak))));
}
