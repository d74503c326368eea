//! One connection of a client through the proxy, and its other half to the server.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Ending, Fate, Fuse, Treatment, Way};

/// A connection. It can be treated and cut as long as it lives.
#[derive(Debug)]
pub struct Link {
    /// Its number among all of the proxy, from 0.
    pub number: u64,
    to_server: Lane,
    to_client: Lane,
    fuse: Option<Fuse>,
    /// How many fuses have blown, of all connections.
    blown: Arc<AtomicU64>,
    cut: watch::Sender<Option<Ending>>,
}

/// One way.
#[derive(Debug)]
struct Lane {
    treatment: Mutex<Treatment>,
    carried: AtomicU64,
    swallowed: AtomicU64,
}

/// What is read at once.
const CHUNK: usize = 16 * 1024;
/// Chunks that wait to be due. The sender then has to wait too, as for a network that is full.
const CHUNKS_ON_THEIR_WAY: usize = 64;
/// What a throttled way carries at once.
const SIP: usize = 512;
/// How long both sides may take to go after a `Fin`.
const FAREWELL: Duration = Duration::from_secs(1);

impl Lane {
    fn new(treatment: Treatment) -> Self {
        let (carried, swallowed) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { treatment: Mutex::new(treatment), carried, swallowed }
    }

    fn treatment(&self) -> Treatment {
        *self.treatment.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    pub(super) fn new(number: u64, fate: Fate, blown: Arc<AtomicU64>) -> Self {
        Self {
            number,
            to_server: Lane::new(fate.to_server),
            to_client: Lane::new(fate.to_client),
            fuse: fate.fuse,
            blown,
            cut: watch::channel(None).0,
        }
    }

    /// Treats one way like this from now on.
    pub fn treat(&self, way: Way, treatment: Treatment) {
        *self.lane(way).treatment.lock().unwrap_or_else(PoisonError::into_inner) = treatment;
    }

    /// Cuts it.
    pub fn cut(&self, ending: Ending) {
        self.cut.send_replace(Some(ending));
    }

    /// How many bytes came through one way.
    pub fn carried(&self, way: Way) -> u64 {
        self.lane(way).carried.load(Ordering::Relaxed)
    }

    /// How many bytes were lost one way.
    pub fn swallowed(&self, way: Way) -> u64 {
        self.lane(way).swallowed.load(Ordering::Relaxed)
    }

    fn lane(&self, way: Way) -> &Lane {
        match way {
            Way::ToServer => &self.to_server,
            Way::ToClient => &self.to_client,
        }
    }

    /// Carries until both sides have ended, or it is cut.
    pub(super) async fn join(self: Arc<Self>, mut client: TcpStream, mut server: TcpStream) {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let mut cut = self.cut.subscribe();
        let ending = {
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = server.split();
            let to_server = self.clone().carry(Way::ToServer, from_client, to_server);
            let to_client = self.clone().carry(Way::ToClient, from_server, to_client);
            tokio::select! {
                biased;
                cut = cut.wait_for(Option::is_some) => cut.ok().and_then(|ending| *ending),
                // One side's reset is the other's.
                ended = async { tokio::try_join!(to_server, to_client) } => ended.err().map(|_| Ending::Reset),
            }
        };
        match ending {
            None => {}
            Some(Ending::Reset) => {
                let _ = (client.set_zero_linger(), server.set_zero_linger());
            }
            Some(Ending::Fin) => {
                let _ = timeout(FAREWELL, async { tokio::join!(bid_farewell(client), bid_farewell(server)) })
                    .await;
            }
        }
    }

    async fn carry(
        self: Arc<Self>,
        way: Way,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let lane = self.lane(way);
        let (road, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_ON_THEIR_WAY);
        let reading = async move {
            let mut chunk = vec![0; CHUNK];
            loop {
                let count = from.read(&mut chunk).await?;
                let treatment = lane.treatment();
                if count == 0 {
                    return Ok(());
                }
                if treatment.swallow {
                    lane.swallowed.fetch_add(count as u64, Ordering::Relaxed);
                } else if road
                    .send((Instant::now() + treatment.delay, chunk[..count].to_vec()))
                    .await
                    .is_err()
                {
                    return Ok(());
                }
            }
        };
        let writing = async {
            while let Some((due, bytes)) = arriving.recv().await {
                sleep_until(due).await;
                self.write(way, &mut to, &bytes).await?;
            }
            to.shutdown().await
        };
        tokio::try_join!(reading, writing).map(drop)
    }

    async fn write(
        self: &Arc<Self>,
        way: Way,
        to: &mut (impl AsyncWrite + Unpin),
        bytes: &[u8],
    ) -> io::Result<()> {
        let lane = self.lane(way);
        let mut rest = bytes;
        while !rest.is_empty() {
            let pace = lane.treatment().bytes_per_second;
            let carried = lane.carried.load(Ordering::Relaxed);
            let fuse = self.fuse.filter(|fuse| fuse.way == way && fuse.bytes > carried);
            let to_fuse = fuse.map_or(usize::MAX, |fuse| usize::try_from(fuse.bytes - carried).unwrap());
            let at_once = if pace.is_some() { SIP } else { CHUNK };
            let (now, later) = rest.split_at(rest.len().min(to_fuse).min(at_once));
            to.write_all(now).await?;
            lane.carried.fetch_add(now.len() as u64, Ordering::Relaxed);
            rest = later;
            if let Some(fuse) = fuse.filter(|_| now.len() == to_fuse) {
                self.blow(fuse).await;
            }
            if let Some(pace) = pace {
                sleep(Duration::from_secs_f64(now.len() as f64 / f64::from(pace))).await;
            }
        }
        Ok(())
    }

    async fn blow(self: &Arc<Self>, fuse: Fuse) {
        self.blown.fetch_add(1, Ordering::Relaxed);
        if fuse.deaf_for.is_zero() {
            self.cut(fuse.ending);
            // Not a byte more.
            return std::future::pending().await;
        }
        self.treat(Way::ToClient, Treatment::SWALLOWED);
        let link = self.clone();
        tokio::spawn(async move {
            sleep(fuse.deaf_for).await;
            link.cut(fuse.ending);
        });
    }
}

/// Ends a connection, and hears the other side out: closing one with unread bytes would reset it.
async fn bid_farewell(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let mut unheard = vec![0; CHUNK];
    while stream.read(&mut unheard).await.is_ok_and(|count| count > 0) {}
}
