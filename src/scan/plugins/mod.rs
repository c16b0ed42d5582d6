//! The plugins that come with the crate, one file each.

pub mod content_secrets;
pub mod cors_policy;
pub mod http_probe;
mod markup;
pub mod mcp_introspect;
pub mod mcp_threats;
mod place;
pub mod port_probe;
mod probed;
pub mod security_headers;

use std::rc::Rc;

use serde::Serialize;

use super::config::ScanConfig;
use super::plugin::{Level, Mode, Plugin};

/// How a scan comes by a plugin: what is known of it beforehand, and how to make it.
#[derive(Clone)]
pub struct PluginEntry {
    pub(super) name: &'static str,
    pub(super) mode: Mode,
    pub(super) level: Level,
    pub(super) make: Make,
}

type Make = Rc<dyn Fn(&ScanConfig) -> Result<Rc<dyn Plugin>, String>>;

impl PluginEntry {
    /// A plugin that is made when a scan begins. If making it fails, that is one error result for each target.
    pub fn new(
        name: &'static str,
        mode: Mode,
        level: Level,
        make: impl Fn(&ScanConfig) -> Result<Rc<dyn Plugin>, String> + 'static,
    ) -> Self {
        Self {
            name,
            mode,
            level,
            make: Rc::new(make),
        }
    }

    /// A plugin that is there already.
    pub fn ready(plugin: impl Plugin + 'static) -> Self {
        let plugin: Rc<dyn Plugin> = Rc::new(plugin);
        Self::new(plugin.name(), plugin.mode(), plugin.level(), move |_| {
            Ok(Rc::clone(&plugin))
        })
    }

    /// The plugin's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What is known of the plugin beforehand.
    pub fn describe(&self) -> Description {
        Description {
            name: self.name,
            mode: self.mode,
            level: self.level,
        }
    }
}

/// What is known of a plugin beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// Whether it only sends what an ordinary client would send.
    pub mode: Mode,
    /// The pool it runs in.
    pub level: Level,
}

/// Every plugin that comes with the crate.
pub fn all() -> Vec<PluginEntry> {
    vec![
        http_probe::entry(),
        port_probe::entry(),
        mcp_introspect::entry(),
        PluginEntry::ready(security_headers::SecurityHeaders),
        PluginEntry::ready(cors_policy::CorsPolicy),
        content_secrets::entry(),
        PluginEntry::ready(mcp_threats::McpThreats),
    ]
}
