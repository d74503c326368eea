use async_trait::async_trait;
use priyo_core::model::{FileId, FileRecord, UserId};
use priyo_core::storage::{ConversationStore, FileRecordStore, Result};

use super::{Broken, Fault};

#[async_trait]
impl FileRecordStore for Broken {
    async fn create_file(&self, file: &FileRecord) -> Result<()> {
        let outcome = self.memory().create_file(file).await;
        if self.has(Fault::StoredNamesAreGivenTwice) { Ok(()) } else { outcome }
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
}
