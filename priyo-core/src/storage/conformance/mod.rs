//! The storage contract as a test suite.
