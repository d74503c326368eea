use async_trait::async_trait;
use priyo_core::model::{FileId, FileRecord, Timestamp, UserId};
use priyo_core::storage::{ConversationStore, FileRecordStore, LooseFile, Result};

use super::{Broken, Fault, pause};

#[async_trait]
impl FileRecordStore for Broken {
    async fn create_file(&self, file: &FileRecord, max_bytes: u64) -> Result<bool> {
        let memory = self.memory();
        let before = match self.fault {
            Fault::QuotasAreLookedAtFirst => memory.stored_bytes(file.uploader).await?,
            _ => 0,
        };
        let max_bytes = match self.fault {
            Fault::QuotasAreLookedAtFirst if before.saturating_add(file.size) > max_bytes => {
                return Ok(false);
            }
            Fault::QuotasAreLookedAtFirst => {
                pause().await;
                u64::MAX
            }
            Fault::ThereIsNoQuota => u64::MAX,
            // Each file by itself.
            Fault::QuotasAreForOneFile if file.size <= max_bytes => u64::MAX,
            _ => max_bytes,
        };
        let loose = memory.loose_files(Timestamp::from_millis(i64::MAX), u32::MAX).await?;
        let outcome = memory.create_file(file, max_bytes).await;
        if self.has(Fault::MadeFilesStayLoose)
            && let Some(note) = loose.iter().find(|loose| loose.stored_name == file.stored_name)
        {
            memory.note_loose_file(note).await?;
        }
        if self.has(Fault::StoredNamesAreGivenTwice) { outcome.or(Ok(true)) } else { outcome }
    }

    async fn file(&self, id: FileId) -> Result<Option<FileRecord>> {
        self.memory().file(id).await
    }

    async fn file_named(&self, stored_name: &str) -> Result<Option<FileRecord>> {
        let memory = self.memory();
        match memory.file_named(stored_name).await? {
            None if self.has(Fault::NamesOfFilesHaveNoCase) => {
                memory.file_named(&stored_name.to_lowercase()).await
            }
            found => Ok(found),
        }
    }

    async fn is_attached(&self, file: FileId, user: Option<UserId>) -> Result<bool> {
        let memory = self.memory();
        let user = if self.has(Fault::FilesStayForThoseWhoLeft) { None } else { user };
        if let (Some(user), Some(first)) = (user, self.note(|notes| notes.files.get(&file).copied()))
            && self.has(Fault::AFileIsInOneConversation)
        {
            return Ok(memory.standing(first, user).await?.is_some_and(|standing| standing.is_participant));
        }
        memory.is_attached(file, user).await
    }

    async fn stored_bytes(&self, user: UserId) -> Result<u64> {
        self.memory().stored_bytes(user).await
    }

    async fn loosen_unsent_files(&self, before: Timestamp, limit: u32, at: Timestamp) -> Result<u32> {
        let before = match self.fault {
            Fault::YoungFilesAreTakenAway => Timestamp::from_millis(i64::MAX),
            _ => before,
        };
        let limit = if self.has(Fault::AllAreTakenAwayAtOnce) { u32::MAX } else { limit };
        self.memory().loosen_unsent_files(before, limit, at).await
    }

    async fn note_loose_file(&self, file: &LooseFile) -> Result<()> {
        let memory = self.memory();
        let known = memory.loose_files(Timestamp::from_millis(i64::MAX), u32::MAX).await?;
        let is_known = known.iter().any(|known| known.stored_name == file.stored_name);
        if self.has(Fault::TheFirstWordOnALooseNameStands) && is_known {
            return Ok(());
        }
        memory.note_loose_file(file).await
    }

    async fn loose_files(&self, until: Timestamp, limit: u32) -> Result<Vec<LooseFile>> {
        let until =
            if self.has(Fault::LooseNamesHaveNoAge) { Timestamp::from_millis(i64::MAX) } else { until };
        let mut found = self.memory().loose_files(until, limit).await?;
        if self.has(Fault::LooseNamesAreByName) {
            found.sort_by(|one, other| one.stored_name.cmp(&other.stored_name));
        }
        Ok(found)
    }

    async fn forget_loose_files(&self, stored_names: &[String]) -> Result<()> {
        let names = if self.has(Fault::OneNameIsForgotten) {
            stored_names.get(..1).unwrap_or_default()
        } else {
            stored_names
        };
        self.memory().forget_loose_files(names).await
    }
}
