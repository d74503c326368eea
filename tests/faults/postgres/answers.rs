//! How requests were answered, and when.

use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;

use priyo_tests::{Answer, PATIENCE};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How somebody was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum How {
    /// It was done.
    Done,
    /// Not now: try again. Whether it was done nobody knows.
    Unavailable,
    /// It is not allowed, by this code.
    Refused(String),
    /// Anything else, or nothing at all.
    Otherwise(String),
}

impl How {
    /// An answer over REST. One that says to come again must say when.
    pub(crate) fn of_answer<E: std::fmt::Display>(answer: &Result<Answer, E>) -> Self {
        match answer {
            Ok(answer) if (200..300).contains(&answer.status) => Self::Done,
            Ok(answer) if answer.status == 503 && answer.header("retry-after").parse::<u32>().is_ok() => {
                Self::Unavailable
            }
            Ok(answer) if (400..500).contains(&answer.status) => Self::Refused(answer.code()),
            Ok(answer) => Self::Otherwise(format!("{} {}", answer.status, answer.text())),
            Err(error) => Self::Otherwise(format!("no answer: {error}")),
        }
    }

    /// An acknowledgement; `None` when the connection ended before.
    pub(crate) fn of_ack(ack: Option<&Value>) -> Self {
        let Some(ack) = ack else { return Self::Otherwise("the socket was dropped".to_owned()) };
        match ack["error"]["code"].as_str() {
            None if ack["ok"] == true => Self::Done,
            Some("unavailable" | "overloaded") => Self::Unavailable,
            Some("internal") | None => Self::Otherwise(ack.to_string()),
            Some(code) => Self::Refused(code.to_owned()),
        }
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    what: String,
    begun: Instant,
    answered: Instant,
    pub(crate) how: How,
}

impl Answered {
    fn took(&self) -> Duration {
        self.answered - self.begun
    }

    pub(crate) fn was_answered_between(&self, from: Instant, to: Instant) -> bool {
        (from..to).contains(&self.answered)
    }
}

/// All answers so far.
#[derive(Debug)]
pub(crate) struct Answers {
    all: Mutex<Vec<Answered>>,
    /// When something was done last.
    done: watch::Sender<Instant>,
}

impl Default for Answers {
    fn default() -> Self {
        Self { all: Mutex::default(), done: watch::channel(Instant::now()).0 }
    }
}

impl Answers {
    /// Notes the answer to what was asked at `begun`.
    pub(crate) fn note(&self, what: &str, begun: Instant, how: How) {
        let answered = Instant::now();
        if how == How::Done {
            self.done.send_replace(answered);
        }
        self.all.lock().unwrap().push(Answered { what: what.to_owned(), begun, answered, how });
    }

    /// Waits until something was done after a moment; how long after.
    pub(crate) async fn done_after(&self, moment: Instant) -> Duration {
        let mut done = self.done.subscribe();
        let at = timeout(PATIENCE, done.wait_for(|at| *at > moment)).await.expect("nothing is done any more");
        *at.unwrap() - moment
    }

    pub(crate) fn all(&self) -> Vec<Answered> {
        self.all.lock().unwrap().clone()
    }

    /// How many were told to come again.
    pub(crate) fn unavailable(&self) -> usize {
        self.all().iter().filter(|one| one.how == How::Unavailable).count()
    }

    /// The longest that anybody has waited.
    pub(crate) fn slowest(&self) -> Duration {
        self.all().iter().map(Answered::took).max().unwrap_or_default()
    }

    /// Fails unless everybody was answered in time, by what was done or by a word that it cannot be done now; and the
    /// latter only in a gap.
    pub(crate) fn assert_honest(&self, within: Duration, gaps: &[Range<Instant>]) {
        let is_in_a_gap =
            |one: &Answered| gaps.iter().any(|gap| one.begun < gap.end && one.answered >= gap.start);
        for one in self.all() {
            match &one.how {
                How::Done => {}
                How::Unavailable => assert!(is_in_a_gap(&one), "refused while all was well: {}", one.what),
                How::Refused(_) | How::Otherwise(_) => panic!("{one:?}"),
            }
            assert!(one.took() <= within, "{} was answered after {:?}", one.what, one.took());
        }
    }
}
