//! Removing what nobody wants: files that were uploaded and never sent, and the bytes that broken uploads have left.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::error::Result;
use crate::files::FileStore;
use crate::limits::Limits;
use crate::model::{Clock, Timestamp};
use crate::storage::{LooseFile, Storage, unpanicked};

/// Files in one transaction, so that messages need not wait long behind it.
const AT_ONCE: u32 = 100;

/// Most transactions in a row; what is left then is for the next time.
const IN_A_ROW: u32 = 10;

/// How often to look, at most.
const OFTEN: Duration = Duration::from_millis(250);

/// How often to look, at least.
const SELDOM: Duration = Duration::from_mins(10);

/// An upload does not take as long as this, so whoever began one is gone.
const GIVEN_UP: Duration = Duration::from_hours(1);

/// What looks after the files that nobody does.
#[derive(Debug)]
pub(super) struct Sweeper {
    storage: Arc<dyn Storage>,
    files: FileStore,
    clock: Clock,
    ttl: Duration,
}

impl Sweeper {
    /// Starts sweeping, the first time at once. It ends when the sweeper is dropped.
    pub(super) fn start(
        storage: Arc<dyn Storage>,
        files: FileStore,
        clock: Clock,
        limits: &Limits,
    ) -> Arc<Self> {
        let ttl = limits.unsent_file_ttl;
        let sweeper = Arc::new(Self { storage, files, clock, ttl });
        let behind = Arc::downgrade(&sweeper);
        tokio::spawn(async move {
            let mut tick = tokio::time::interval((ttl / 4).clamp(OFTEN, SELDOM));
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let Some(sweeper) = behind.upgrade() else { return };
                if let Err(error) = sweeper.sweep().await {
                    tracing::warn!(%error, "files that nobody wants are left for now");
                }
            }
        });
        sweeper
    }

    /// Removes what is to be removed now, within bounds.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) when the storage or the file store is away.
    pub(super) async fn sweep(&self) -> Result<()> {
        let now = self.clock.now();
        let until = self.given_up(now);
        for _ in 0..IN_A_ROW {
            // They count as loose since then: nobody is at an upload of these.
            let taken = self.storage.loosen_unsent_files(now.before(self.ttl), AT_ONCE, until);
            let taken = unpanicked(taken).await?;
            if taken > 0 {
                tracing::info!(files = taken, "files that were never sent are removed");
            }
            if taken < AT_ONCE {
                break;
            }
        }
        for _ in 0..IN_A_ROW {
            let mut loose = unpanicked(self.storage.loose_files(until, AT_ONCE)).await?;
            let found = loose.len();
            loose.retain(|file| !self.files.is_under_way(&file.stored_name));
            if loose.is_empty() {
                break;
            }
            self.clear(loose).await?;
            if found < AT_ONCE as usize {
                break;
            }
        }
        Ok(())
    }

    /// Since when what is loose is nobody's. Where nobody else can be at an upload, only those of this process count,
    /// which it knows itself.
    fn given_up(&self, now: Timestamp) -> Timestamp {
        let is_shared = self.files.is_shared() || self.storage.is_shared();
        if is_shared { now.before(self.ttl.min(GIVEN_UP)) } else { now }
    }

    async fn clear(&self, loose: Vec<LooseFile>) -> Result<()> {
        let mut cleared = Vec::with_capacity(loose.len());
        let mut outcome = Ok(());
        for file in loose {
            outcome = self.clear_one(&file).await;
            if outcome.is_err() {
                break;
            }
            cleared.push(file.stored_name);
        }
        unpanicked(self.storage.forget_loose_files(&cleared)).await?;
        outcome
    }

    async fn clear_one(&self, loose: &LooseFile) -> Result<()> {
        // Since its name was found to be loose the upload may have been done: what no longer is under way by then has
        // its file noted.
        if unpanicked(self.storage.file_named(&loose.stored_name)).await?.is_some() {
            return Ok(());
        }
        self.files.clear(loose).await
    }
}
