//! The local store, its database, the sandboxed builder and the garbage collector.
