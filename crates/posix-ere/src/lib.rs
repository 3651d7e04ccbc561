//! POSIX extended regular expressions on bytes, leftmost-longest.
