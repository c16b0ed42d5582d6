//! The plugins that come with the crate, one file each.
