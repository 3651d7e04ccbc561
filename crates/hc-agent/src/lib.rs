//! Generations, journal, reconcile and supervision on one host.
