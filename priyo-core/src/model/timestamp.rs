//! Times, and the clock they are taken from.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat};
use serde::{Serialize, Serializer};

/// A moment: whole milliseconds since 1970, UTC.
///
/// Serializes as JavaScript's `toISOString` writes it: `2026-11-23T02:15:35.850Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, format = DateTime))]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down, as JWT claims count them.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This moment plus `by`; stays at the largest moment rather than overflow.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment less `by`; stays at the smallest moment rather than overflow.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::from_timestamp_millis(self.0).unwrap_or_default();
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where the engine takes the time from, so that a test can set it.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

enum Source {
    System { began: Instant },
    Asked { now: Box<dyn Fn() -> Timestamp + Send + Sync>, latest_ms: AtomicU64 },
}

impl Clock {
    /// The computer's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Source::System { began: Instant::now() }))
    }

    /// A clock that asks `now`.
    #[must_use]
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(Source::Asked { now: Box::new(now), latest_ms: AtomicU64::new(0) }))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::System { .. } => {
                #[allow(clippy::disallowed_methods, reason = "this is the one place where the clock is read")]
                let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                let ms = since_1970.map_or(0, |d| d.as_millis());
                Timestamp(i64::try_from(ms).unwrap_or(i64::MAX))
            }
            Source::Asked { now, .. } => now(),
        }
    }

    /// How much time has passed since some moment: unlike the time it is never set back, so that nobody waits a day
    /// for what was to take a minute.
    pub(crate) fn elapsed(&self) -> Duration {
        match &*self.0 {
            Source::System { began } => began.elapsed(),
            Source::Asked { now, latest_ms } => {
                let now = u64::try_from(now().as_millis()).unwrap_or(0);
                Duration::from_millis(latest_ms.fetch_max(now, Ordering::Relaxed).max(now))
            }
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_javascript_writes_it() {
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(1_795_400_135_850).to_string(), "2026-11-23T02:15:35.850Z");
    }

    #[test]
    fn what_has_passed_stays_passed_when_a_clock_is_set_back() {
        let ms = Arc::new(AtomicU64::new(5_000));
        let shown = ms.clone();
        let clock =
            Clock::from_fn(move || Timestamp::from_millis(shown.load(Ordering::Relaxed).cast_signed()));
        let before = clock.elapsed();
        ms.store(8_000, Ordering::Relaxed);
        assert_eq!(clock.elapsed() - before, Duration::from_secs(3));
        ms.store(1_000, Ordering::Relaxed);
        assert_eq!((clock.elapsed() - before, clock.now().as_millis()), (Duration::from_secs(3), 1_000));
    }
}
