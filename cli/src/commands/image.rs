//! `hc image lock`: pin the packages of a Debian image, as `flake.lock` pins inputs.
