//! Every storage against the contract.

mod sqlite {
    priyo_core::storage_conformance!(priyo_tests::sqlite);
}
