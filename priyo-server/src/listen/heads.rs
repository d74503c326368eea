//! The heads of the requests on one connection, seen as raw bytes on their way to hyper.
//!
//! hyper is forgiving where RFC 9112 allows it: of a request with both `Content-Length` and `Transfer-Encoding` it
//! drops the first without a trace, it takes a repeated `Content-Length`, and lines that end in a bare LF. A proxy
//! in front that reads such a request in another way sees another number of requests (request smuggling), so all
//! three are refused here. The same bytes tell when a head begins, which is when its time starts to run.

use tokio::time::Instant;

/// How large a buffer an idle connection keeps for its next head.
const KEPT_BYTES: usize = 2048;

/// What is seen of the requests on a connection.
#[derive(Debug)]
pub(super) struct Heads {
    /// The bytes that came and that no request has accounted for: at most what hyper buffers.
    seen: Vec<u8>,
    /// How many of the next bytes are the body of the last request.
    body_left: u64,
    phase: Phase,
    /// No more heads are coming: after an upgrade, and after the last request of a connection.
    over: bool,
}

/// Where a connection is in its cycle of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has come yet since the connection was made.
    New(Instant),
    /// Between two requests.
    Idle(Instant),
    /// In the middle of a head.
    Head(Instant),
    /// A request is being answered.
    Busy,
}

/// Why a request is refused although hyper took it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ambiguous;

impl Heads {
    pub(super) fn new(now: Instant) -> Self {
        Self { seen: Vec::new(), body_left: 0, phase: Phase::New(now), over: false }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Notes bytes that came from the peer.
    pub(super) fn read(&mut self, bytes: &[u8], now: Instant) {
        if self.over {
            return;
        }
        let body = usize::try_from(self.body_left).unwrap_or(usize::MAX).min(bytes.len());
        self.body_left -= body as u64;
        self.seen.extend_from_slice(&bytes[body..]);
        self.skip_empty_lines();
        if !self.seen.is_empty() && matches!(self.phase, Phase::New(_) | Phase::Idle(_)) {
            self.phase = Phase::Head(now);
        }
    }

    /// Takes the head that hyper has just parsed out of the bytes, and judges it. `body` is how long hyper says
    /// that the body is; `None` when it is chunked, and then this must be the last request of the connection.
    pub(super) fn begin(&mut self, body: Option<u64>) -> Result<(), Ambiguous> {
        self.phase = Phase::Busy;
        if self.over {
            return Ok(());
        }
        let Some(end) = end_of_head(&self.seen) else {
            // It has parsed a head, so there is one.
            self.over();
            return Err(Ambiguous);
        };
        let verdict = judge(&self.seen[..end]);
        match body {
            Some(length) if verdict.is_ok() => {
                self.seen.drain(..end);
                let here = usize::try_from(length).unwrap_or(usize::MAX).min(self.seen.len());
                self.seen.drain(..here);
                self.body_left = length - here as u64;
                self.skip_empty_lines();
                if self.seen.is_empty() && self.seen.capacity() > KEPT_BYTES {
                    self.seen = Vec::new();
                }
            }
            _ => self.over(),
        }
        verdict
    }

    /// Notes that the answer is complete.
    pub(super) fn finish(&mut self, now: Instant) {
        if self.phase == Phase::Busy {
            self.phase = if self.seen.is_empty() { Phase::Idle(now) } else { Phase::Head(now) };
        }
    }

    /// Starts the time of a head, whatever came: what is left for an idle connection to close in.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.phase = Phase::Head(now);
    }

    /// No more heads are coming.
    pub(super) fn over(&mut self) {
        self.over = true;
        self.seen = Vec::new();
    }

    /// Empty lines before a request line mean nothing, and must not start its time.
    fn skip_empty_lines(&mut self) {
        let empty = self.seen.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.seen.drain(..empty);
    }
}

/// Where the head at the start of `bytes` ends, its empty line included.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(line) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        let text = &bytes[at..at + line];
        at += line + 1;
        if text.is_empty() || text == b"\r" {
            return Some(at);
        }
    }
    None
}

fn judge(head: &[u8]) -> Result<(), Ambiguous> {
    let (mut lengths, mut encodings, mut hosts) = (0, 0, 0);
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        if !line.ends_with(b"\r\n") {
            return Err(Ambiguous);
        }
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        for (known, count) in
            [("content-length", &mut lengths), ("transfer-encoding", &mut encodings), ("host", &mut hosts)]
        {
            *count += usize::from(name.eq_ignore_ascii_case(known.as_bytes()));
        }
    }
    if lengths + encodings > 1 || hosts > 1 { Err(Ambiguous) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(bytes: &[u8]) -> Heads {
        let mut heads = Heads::new(Instant::now());
        heads.read(bytes, Instant::now());
        heads
    }

    #[tokio::test]
    async fn a_body_is_not_taken_for_a_head() {
        let mut heads = after(b"POST / HTTP/1.1\r\nContent-Length: 40\r\n\r\nTransfer-Encoding: chunked\r\n");
        assert_eq!(heads.begin(Some(40)), Ok(()));
        heads.read(b"\r\n\r\n12345678", Instant::now());
        heads.finish(Instant::now());
        assert!(matches!(heads.phase(), Phase::Idle(_)), "{heads:?}");

        heads.read(b"GET / HTTP/1.1\r\n\r\n", Instant::now());
        assert!(matches!(heads.phase(), Phase::Head(_)));
        assert_eq!(heads.begin(Some(0)), Ok(()));
        assert!(heads.seen.is_empty());
    }

    #[tokio::test]
    async fn requests_sent_ahead_are_judged_one_by_one() {
        let mut heads = after(
            b"GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        );
        assert_eq!(heads.begin(Some(0)), Ok(()));
        heads.finish(Instant::now());
        assert!(matches!(heads.phase(), Phase::Head(_)));
        assert_eq!(heads.begin(Some(1)), Err(Ambiguous));
    }

    #[tokio::test]
    async fn empty_lines_do_not_start_a_head() {
        let heads = after(b"\r\n\r\n\r\n");
        assert!(matches!(heads.phase(), Phase::New(_)));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let refused = [
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
        ];
        for head in refused {
            assert_eq!(judge(head.as_bytes()), Err(Ambiguous), "{head:?}");
        }
        assert_eq!(judge(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), Ok(()));
    }
}
