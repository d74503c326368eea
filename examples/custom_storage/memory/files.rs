//! What is known of uploaded files.

use async_trait::async_trait;
use priyo_core::model::{FileId, FileRecord, Timestamp, UserId};
use priyo_core::storage::{FileRecordStore, LooseFile, Result};

use super::{MemoryStorage, Said, State, insert, taken};

#[async_trait]
impl FileRecordStore for MemoryStorage {
    async fn create_file(&self, file: &FileRecord, max_bytes: u64) -> Result<bool> {
        self.run(|state| {
            // Under the same lock as the insert: of many at once each sees those before it.
            let max_bytes = max_bytes.min(i64::MAX as u64);
            if max_bytes.checked_sub(state.bytes_of(file.uploader)).is_none_or(|left| left < file.size) {
                return Ok(false);
            }
            if state.files.values().any(|other| other.stored_name == file.stored_name) {
                return Err(taken());
            }
            insert(&mut state.files, file.id, file.clone())?;
            state.loose.remove(&file.stored_name);
            Ok(true)
        })
    }

    async fn file(&self, id: FileId) -> Result<Option<FileRecord>> {
        self.run(|state| Ok(state.files.get(&id).cloned()))
    }

    async fn file_named(&self, stored_name: &str) -> Result<Option<FileRecord>> {
        self.run(|state| Ok(state.files.values().find(|file| file.stored_name == stored_name).cloned()))
    }

    async fn is_attached(&self, file: FileId, user: Option<UserId>) -> Result<bool> {
        self.run(|state| {
            let carries =
                |said: &Said| said.row.attachment.as_ref().is_some_and(|carried| carried.file_id == file);
            let mut rooms = state.rooms.values().filter(|room| user.is_none_or(|user| room.has(user)));
            Ok(rooms.any(|room| room.said.iter().any(carries)))
        })
    }

    async fn stored_bytes(&self, user: UserId) -> Result<u64> {
        self.run(|state| Ok(state.bytes_of(user)))
    }

    async fn loosen_unsent_files(&self, before: Timestamp, limit: u32, at: Timestamp) -> Result<u32> {
        self.run(|state| {
            let mut unsent: Vec<_> = state
                .files
                .values()
                .filter(|file| file.created_at < before && !state.is_carried(file.id))
                .map(|file| (file.created_at, file.id))
                .collect();
            unsent.sort_unstable();
            unsent.truncate(limit as usize);
            for (_, id) in &unsent {
                if let Some(file) = state.files.remove(id) {
                    let loose = LooseFile { stored_name: file.stored_name, upload_id: None, since: at };
                    state.loose.insert(loose.stored_name.clone(), loose);
                }
            }
            Ok(unsent.len() as u32)
        })
    }

    async fn note_loose_file(&self, file: &LooseFile) -> Result<()> {
        self.run(|state| {
            state.loose.insert(file.stored_name.clone(), file.clone());
            Ok(())
        })
    }

    async fn loose_files(&self, until: Timestamp, limit: u32) -> Result<Vec<LooseFile>> {
        self.run(|state| {
            let mut found: Vec<_> =
                state.loose.values().filter(|file| file.since <= until).cloned().collect();
            // By name already; this keeps those of one moment as they are.
            found.sort_by_key(|file| file.since);
            found.truncate(limit as usize);
            Ok(found)
        })
    }

    async fn forget_loose_files(&self, stored_names: &[String]) -> Result<()> {
        self.run(|state| {
            stored_names.iter().for_each(|name| drop(state.loose.remove(name)));
            Ok(())
        })
    }
}

impl State {
    fn bytes_of(&self, user: UserId) -> u64 {
        self.files.values().filter(|file| file.uploader == user).map(|file| file.size).sum()
    }

    fn is_carried(&self, file: FileId) -> bool {
        let carries =
            |said: &Said| said.row.attachment.as_ref().is_some_and(|carried| carried.file_id == file);
        self.rooms.values().any(|room| room.said.iter().any(carries))
    }
}
