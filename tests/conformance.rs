//! Every storage against the contract, and against each other.

#[path = "conformance/agreement.rs"]
mod agreement;
#[path = "conformance/controls.rs"]
mod controls;
#[path = "../examples/custom_storage/memory/mod.rs"]
mod memory;

mod sqlite {
    priyo_core::storage_conformance!(priyo_tests::sqlite);
}

mod postgres {
    use std::sync::Arc;

    use priyo_core::storage::conformance::{Store, random_operations_agree};

    use crate::memory::MemoryStorage;

    priyo_core::storage_conformance!(priyo_tests::postgres);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_agrees_with_the_storage_in_memory_whatever_is_done() {
        for seed in 0..crate::agreement::cases(8, 200) {
            let (storage, _guard) = priyo_tests::postgres().await;
            let (store, memory): (Store, Store) = (Arc::new(storage), Arc::new(MemoryStorage::new()));
            random_operations_agree(&store, &memory, seed.into()).await;
        }
    }

    /// As it is told to go about behind a PgBouncer: no settings of the connection, and nothing prepared.
    mod behind_pgbouncer {
        priyo_core::storage_conformance!(priyo_tests::postgres_behind_pgbouncer);
    }
}
