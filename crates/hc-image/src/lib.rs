//! Images ahead of time: packages and archives to EROFS.
