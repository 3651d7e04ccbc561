//! One machine as one foreground process: fork, connect, spawn, reap, clean up.
