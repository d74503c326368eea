//! A TCP proxy that does to connections what networks do: it cuts them, delays and throttles what they carry, or
//! swallows it while they seem to live; all of them, or one, or one way of one.
//!
//! It never changes the order of bytes, as TCP does not. What it does by chance comes from the test's own seed: a
//! test says for each connection, by its number, what it is in for.

mod link;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub use link::Link;

/// The two ways of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What the client sends.
    ToServer,
    /// What the client hears.
    ToClient,
}

/// What happens to the bytes that go one way. Nothing by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Treatment {
    /// How much later they come.
    pub delay: Duration,
    /// How many come in a second at most.
    pub bytes_per_second: Option<u32>,
    /// Whether they are lost, while the connection seems to live.
    pub swallow: bool,
}

impl Treatment {
    /// Nothing happens to them.
    pub const CLEAR: Self = Self { delay: Duration::ZERO, bytes_per_second: None, swallow: false };
    /// They are lost.
    pub const SWALLOWED: Self = Self { swallow: true, ..Self::CLEAR };

    /// They come later.
    pub fn delayed(delay: Duration) -> Self {
        Self { delay, ..Self::CLEAR }
    }

    /// They come slowly.
    pub fn throttled(bytes_per_second: u32) -> Self {
        Self { bytes_per_second: Some(bytes_per_second), ..Self::CLEAR }
    }
}

/// How a connection is ended, on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// In order, as by a proxy that is being stopped.
    Fin,
    /// At once, as by a firewall that forgot it: what is on its way is lost.
    Reset,
}

/// What a connection is in for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fate {
    /// What happens to what the client sends.
    pub to_server: Treatment,
    /// What happens to what the client hears.
    pub to_client: Treatment,
    /// When it is cut by itself.
    pub fuse: Option<Fuse>,
}

/// Cuts a connection after it has carried so much.
#[derive(Debug, Clone, Copy)]
pub struct Fuse {
    /// Which way is counted.
    pub way: Way,
    /// After how many bytes, to the byte.
    pub bytes: u64,
    /// How long before that the client hears nothing any more, while the server still does: so the client cannot
    /// know what became of what it sent last.
    pub deaf_for: Duration,
    /// How.
    pub ending: Ending,
}

type Fates = Box<dyn FnMut(u64) -> Fate + Send>;

/// A proxy before a server. Connections end with it.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    state: Mutex<State>,
}

struct State {
    fates: Fates,
    /// What was said for connections to come, whatever their fate.
    to_server: Option<Treatment>,
    to_client: Option<Treatment>,
    links: Vec<Weak<Link>>,
    accepted: u64,
    blown: Arc<AtomicU64>,
}

impl Proxy {
    /// Starts one that does nothing to connections until it is told to.
    pub async fn start(to: SocketAddr) -> Self {
        Self::start_with(to, |_| Fate::default()).await
    }

    /// Starts one that asks for each connection, which are numbered from 0, what it is in for.
    pub async fn start_with(to: SocketAddr, fates: impl FnMut(u64) -> Fate + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = State {
            fates: Box::new(fates),
            to_server: None,
            to_client: None,
            links: Vec::new(),
            accepted: 0,
            blown: Arc::default(),
        };
        let shared = Arc::new(Shared { to, state: Mutex::new(state) });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { addr, shared, accepting }
    }

    /// Treats one way of all connections like this, also of those to come.
    pub fn treat(&self, way: Way, treatment: Treatment) {
        let mut state = self.shared.lock();
        match way {
            Way::ToServer => state.to_server = Some(treatment),
            Way::ToClient => state.to_client = Some(treatment),
        }
        state.live().iter().for_each(|link| link.treat(way, treatment));
    }

    /// Cuts every connection; gives how many there were.
    pub fn cut(&self, ending: Ending) -> usize {
        let links = self.links();
        links.iter().for_each(|link| link.cut(ending));
        links.len()
    }

    /// The connections that there are now, the oldest first.
    pub fn links(&self) -> Vec<Arc<Link>> {
        self.shared.lock().live()
    }

    /// How many connections there have been.
    pub fn accepted(&self) -> u64 {
        self.shared.lock().accepted
    }

    /// How many connections were cut by their fuses.
    pub fn blown(&self) -> u64 {
        self.shared.lock().blown.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut(Ending::Reset);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next connection.
    fn link(&mut self) -> Arc<Link> {
        let number = self.accepted;
        self.accepted += 1;
        let mut fate = (self.fates)(number);
        fate.to_server = self.to_server.unwrap_or(fate.to_server);
        fate.to_client = self.to_client.unwrap_or(fate.to_client);
        let link = Arc::new(Link::new(number, fate, self.blown.clone()));
        self.links.push(Arc::downgrade(&link));
        link
    }

    fn live(&mut self) -> Vec<Arc<Link>> {
        self.links.retain(|link| link.strong_count() > 0);
        self.links.iter().filter_map(Weak::upgrade).collect()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("accepted", &self.accepted).finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let link = shared.lock().link();
        let to = shared.to;
        tokio::spawn(async move {
            match TcpStream::connect(to).await {
                Ok(server) => link.join(client, server).await,
                // Nobody is there: so it is for the client.
                Err(_) => drop(client.set_zero_linger()),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::PATIENCE;

    /// A server that sends back what it hears.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        addr
    }

    async fn connect(proxy: &Proxy) -> TcpStream {
        let before = proxy.accepted();
        let stream = TcpStream::connect(proxy.addr).await.unwrap();
        while proxy.accepted() == before {
            tokio::task::yield_now().await;
        }
        stream
    }

    async fn says(stream: &mut TcpStream, text: &str) -> String {
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut heard = vec![0; text.len()];
        timeout(PATIENCE, stream.read_exact(&mut heard)).await.expect("it comes back").unwrap();
        String::from_utf8(heard).unwrap()
    }

    /// What a client finds that reads on: how many bytes come, and how it ends.
    async fn end(stream: &mut TcpStream) -> (usize, Result<(), ErrorKind>) {
        let mut all = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("it ends");
        (all.len(), end.map(drop).map_err(|error| error.kind()))
    }

    #[tokio::test]
    async fn it_carries_both_ways_and_the_end_of_each() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = connect(&proxy).await;
        assert_eq!(says(&mut stream, "hello").await, "hello");
        stream.shutdown().await.unwrap();
        assert_eq!(end(&mut stream).await, (0, Ok(())));
    }

    #[tokio::test]
    async fn it_cuts_in_order_or_at_once() {
        let proxy = Proxy::start(echo().await).await;
        for (ending, found) in [(Ending::Fin, Ok(())), (Ending::Reset, Err(ErrorKind::ConnectionReset))] {
            let mut stream = connect(&proxy).await;
            says(&mut stream, "hello").await;
            proxy.cut(ending);
            assert_eq!(end(&mut stream).await, (0, found), "{ending:?}");
        }
    }

    #[tokio::test]
    async fn it_cuts_one_connection_and_leaves_the_others() {
        let proxy = Proxy::start(echo().await).await;
        let (mut one, mut other) = (connect(&proxy).await, connect(&proxy).await);
        says(&mut one, "hello").await;
        says(&mut other, "hello").await;
        proxy.links()[0].cut(Ending::Reset);
        assert_eq!(end(&mut one).await, (0, Err(ErrorKind::ConnectionReset)));
        assert_eq!(says(&mut other, "still here").await, "still here");
    }

    #[tokio::test]
    async fn it_swallows_one_way_and_the_connection_stays() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = connect(&proxy).await;
        says(&mut stream, "hello").await;

        proxy.treat(Way::ToClient, Treatment::SWALLOWED);
        stream.write_all(b"unheard").await.unwrap();
        let link = proxy.links().remove(0);
        while link.swallowed(Way::ToClient) < 7 {
            tokio::task::yield_now().await;
        }
        proxy.treat(Way::ToClient, Treatment::CLEAR);
        assert_eq!(says(&mut stream, "heard").await, "heard");
        assert_eq!((link.carried(Way::ToServer), link.carried(Way::ToClient)), (17, 10));
    }

    #[tokio::test]
    async fn it_delays_and_throttles_without_losing_anything() {
        let proxy = Proxy::start(echo().await).await;
        let mut stream = connect(&proxy).await;
        let text = "0123456789".repeat(200);
        for (treatment, at_least) in [
            (Treatment::delayed(Duration::from_millis(100)), Duration::from_millis(100)),
            (Treatment::throttled(20_000), Duration::from_millis(70)),
        ] {
            proxy.links()[0].treat(Way::ToClient, treatment);
            let begin = Instant::now();
            assert_eq!(says(&mut stream, &text).await, text);
            assert!(begin.elapsed() >= at_least, "{treatment:?}: {:?}", begin.elapsed());
        }
    }

    #[tokio::test]
    async fn a_fuse_cuts_after_so_many_bytes() {
        for (ending, found) in [(Ending::Fin, Ok(())), (Ending::Reset, Err(ErrorKind::ConnectionReset))] {
            let fuse = Fuse { way: Way::ToClient, bytes: 12, deaf_for: Duration::ZERO, ending };
            let fates = move |number| Fate { fuse: (number == 0).then_some(fuse), ..Fate::default() };
            let proxy = Proxy::start_with(echo().await, fates).await;
            let mut stream = connect(&proxy).await;
            assert_eq!(says(&mut stream, "hello").await, "hello");
            stream.write_all(b" and good bye").await.unwrap();
            let (heard, how) = end(&mut stream).await;
            assert_eq!((how, proxy.blown()), (found, 1));
            // A reset overtakes what is on its way.
            assert!(heard == 7 || (heard < 7 && ending == Ending::Reset), "{heard}");
            assert_eq!(says(&mut connect(&proxy).await, "the next one lives").await, "the next one lives");
        }
    }

    #[tokio::test]
    async fn a_fuse_can_make_the_client_deaf_before_it_cuts() {
        let deaf_for = Duration::from_millis(50);
        let fuse = Fuse { way: Way::ToServer, bytes: 5, deaf_for, ending: Ending::Fin };
        let fates = move |_| Fate { fuse: Some(fuse), ..Fate::default() };
        let proxy = Proxy::start_with(echo().await, fates).await;
        let mut stream = connect(&proxy).await;
        stream.write_all(b"hello, and more").await.unwrap();
        let link = proxy.links().remove(0);
        assert_eq!(end(&mut stream).await, (0, Ok(())));
        assert_eq!(link.carried(Way::ToServer), 15, "the server heard all of it");
    }
}
