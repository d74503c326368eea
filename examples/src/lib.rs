//! Nothing: the examples are beside this, one idea a file.
