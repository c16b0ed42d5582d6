// What the page says of each plugin. A plugin the package has and this table lacks does not compile.

import type { Mode, PluginName } from "tidegate/scan";

export interface PluginCard {
  title: string;
  /** Three or four letters, for the list. */
  short: string;
  about: string;
  mode: Mode;
}

export const PLUGINS: Record<PluginName, PluginCard> = {
  "http-probe": {
    title: "HTTP probe",
    short: "HTTP",
    about: "Reachable or why not, redirects, latency",
    mode: "passive",
  },
  "port-probe": {
    title: "Port probe",
    short: "Port",
    about: "Open, or what a page can tell",
    mode: "passive",
  },
  "security-headers": {
    title: "Security headers",
    short: "Hdrs",
    about: "Headers judged, with a grade",
    mode: "passive",
  },
  "cors-policy": {
    title: "CORS policy",
    short: "CORS",
    about: "Reflected origins, null, credentials",
    mode: "active",
  },
  "mcp-introspect": {
    title: "MCP introspection",
    short: "MCP",
    about: "Tools, resources and prompts of MCP servers",
    mode: "passive",
  },
  "content-secrets": {
    title: "Secrets in content",
    short: "Leak",
    about: "Credentials left in pages and scripts",
    mode: "passive",
  },
  "mcp-threats": {
    title: "MCP threats",
    short: "Risk",
    about: "What tools could do, alone and together",
    mode: "passive",
  },
};

export const PLUGIN_NAMES = Object.keys(PLUGINS) as PluginName[];

/** Title of a plugin, also of one this page has never heard of. */
export function pluginTitle(name: string): string {
  return Object.hasOwn(PLUGINS, name) ? PLUGINS[name as PluginName].title : name;
}

export function pluginShort(name: string): string {
  return Object.hasOwn(PLUGINS, name) ? PLUGINS[name as PluginName].short : name.slice(0, 4);
}
