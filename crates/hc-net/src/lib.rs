//! Links, addresses, firewall and names.
