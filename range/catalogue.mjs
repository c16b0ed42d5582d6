// The targets of the range: what each is called, what it does, and what a scan should find there.
// A name never changes once it is here, because tests and reports speak of targets by name.

import { BIG_CATALOGUE, HOSTILE_CATALOGUE, SMALL_CATALOGUE, TOOLBOX_CATALOGUE } from "./mcp-catalogues.mjs";

/**
 * @typedef {object} Definition
 * @property {string} name
 * @property {string} about                  One line for people.
 * @property {string} [path]                 Where the target lives on its port; default its name.
 * @property {string[]} [paths]              Several places on the one port, each an entry of the index.
 * @property {Record<string, unknown>} does  A partial behaviour (`behaviour.mjs`).
 * @property {Record<string, unknown>} [whenFaulty]  Laid over it while the range's faults are on.
 * @property {import("./mcp.mjs").McpOptions} [mcp]
 * @property {"nothing"} [listens]           A port on which nobody listens.
 * @property {Expectation} expect
 *
 * @typedef {object} Expectation
 * @property {"answers" | "fails" | "mixed"} outcome  What an ordinary client gets.
 * @property {number} [status]               Status of the answer to a plain GET, redirects followed.
 * @property {"all" | "safe" | "none"} headers  What a page of another origin may read of them.
 * @property {{ tools: string[], resources: string[], prompts: string[] } | { refused: string }} [mcp]
 */

const GOOD_HEADERS = [
  [
    "Content-Security-Policy",
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  ],
  ["Strict-Transport-Security", "max-age=63072000; includeSubDomains; preload"],
  ["X-Content-Type-Options", "nosniff"],
  ["X-Frame-Options", "DENY"],
  ["Referrer-Policy", "no-referrer"],
  ["Permissions-Policy", "camera=(), geolocation=(), microphone=()"],
  ["Cross-Origin-Opener-Policy", "same-origin"],
  ["Cross-Origin-Embedder-Policy", "require-corp"],
  ["Cross-Origin-Resource-Policy", "same-origin"],
];

const WEAK_HEADERS = [
  ["Content-Security-Policy", "default-src *; script-src 'self' 'unsafe-inline' 'unsafe-eval' http:"],
  ["Strict-Transport-Security", "max-age=86400"],
  ["X-Content-Type-Options", "sniff"],
  ["X-Frame-Options", "ALLOW-FROM https://example.com"],
  ["Referrer-Policy", "unsafe-url"],
  ["Server", "Apache/2.2.15 (CentOS)"],
  ["X-Powered-By", "PHP/5.3.3"],
];

const DOWN = { faults: { rate: 1, how: ["status-503"] } };
const SHAKY = { faults: { rate: 0.5, how: ["reset", "status-503"] } };

/** @type {Definition[]} */
export const CATALOGUE = [
  ...paces(),
  ...failures(),
  ...limits(),
  ...headerSets(),
  ...redirects(),
  ...cookies(),
  ...sharing(),
  ...bodies(),
  ...mcpServers(),
];

function paces() {
  return [
    page("fast", "Answers at once", {}, { whenFaulty: DOWN }),
    page("steady", "Answers after 20 ms", { delay: 20 }, { whenFaulty: SHAKY }),
    page("slow", "Answers after 400 ms", { delay: 400 }),
    page("very-slow", "Answers after 1.2 s", { delay: 1200 }),
    page("uneven", "Answers after anything from 5 to 250 ms", { delay: [5, 250] }),
    page(
      "harbour",
      "One of twelve pages of one host, each after 80 to 120 ms",
      { delay: [80, 120] },
      { whenFaulty: DOWN, paths: berths(12) },
    ),
  ];
}

function failures() {
  return [
    page(
      "flaky-500",
      "One request in three gets a 500",
      { faults: { rate: 1 / 3, how: ["status-500"] } },
      mixed(),
    ),
    page(
      "flaky-reset",
      "One connection in three is reset",
      { faults: { rate: 1 / 3, how: ["reset"] } },
      mixed(),
    ),
    page(
      "broken",
      "Every request gets a 500",
      { status: 500, title: "Internal error" },
      { expect: { status: 500 } },
    ),
    page(
      "unavailable",
      "Every request gets a 503 that asks for two seconds",
      { status: 503, headers: [["Retry-After", "2"]] },
      { expect: { status: 503 } },
    ),
    page("hanging", "Takes the connection and never answers", { answer: "hang" }, fails()),
    page(
      "stalling",
      "Sends its headers and never the body",
      { answer: "hang-body" },
      { expect: { outcome: "mixed" } },
    ),
    page("resetting", "Resets every connection", { answer: "reset" }, fails()),
    page("closing", "Closes every connection without a word", { answer: "close" }, fails()),
    page("garbled", "Answers something that is not HTTP", { answer: "garbage" }, fails()),
    {
      name: "refused",
      about: "Nobody listens on this port",
      does: {},
      listens: "nothing",
      expect: { outcome: "fails", headers: "none" },
    },
  ];
}

function limits() {
  return [
    page(
      "limited-seconds",
      "Five requests a second, then 429 with Retry-After in seconds",
      { limit: { requests: 5, per: 1000, retryAfter: "seconds" } },
      { expect: { outcome: "mixed" } },
    ),
    page(
      "limited-date",
      "Five requests a second, then 429 with Retry-After as a date",
      { limit: { requests: 5, per: 1000, retryAfter: "date" } },
      { expect: { outcome: "mixed" } },
    ),
    page(
      "always-limited",
      "Every request gets a 429",
      { limit: { requests: 0, per: 1000, retryAfter: "seconds" } },
      { expect: { status: 429 } },
    ),
  ];
}

function headerSets() {
  return [
    page("headers-good", "Every security header, each as it should be", { headers: GOOD_HEADERS }),
    page("headers-none", "No security header at all", {}),
    page("headers-weak", "Security headers that do not protect", { headers: WEAK_HEADERS }),
    page("headers-report-only", "A policy that only reports", {
      headers: [
        ["Content-Security-Policy-Report-Only", "default-src 'self'"],
        ["X-Content-Type-Options", "nosniff"],
      ],
    }),
    page("headers-twice", "Headers that contradict themselves", {
      headers: [
        ["X-Frame-Options", "DENY"],
        ["X-Frame-Options", "SAMEORIGIN"],
        ["Content-Security-Policy", "default-src 'self'"],
        ["Content-Security-Policy", "object-src 'none'"],
        ["Referrer-Policy", "no-such-policy, strict-origin"],
      ],
    }),
  ];
}

function redirects() {
  return [
    page("moved", "One permanent redirect to the page", {
      answer: "redirect",
      redirect: { to: "/", hops: 1, status: 301 },
    }),
    page("moved-often", "Five redirects to the page", {
      answer: "redirect",
      redirect: { to: "/", hops: 5, status: 302 },
    }),
    page("moved-away", "A redirect to another target", {
      answer: "redirect",
      redirect: { to: "headers-good", hops: 1, status: 308 },
    }),
    page(
      "moved-for-ever",
      "Redirects that never end",
      { answer: "redirect", redirect: { to: "/", hops: 0, status: 302 } },
      fails(),
    ),
  ];
}

function cookies() {
  return [
    page("cookies-good", "A session cookie with every attribute it needs", {
      headers: [["Set-Cookie", "__Host-session=2f6c1d; Path=/; Secure; HttpOnly; SameSite=Strict"]],
    }),
    page("cookies-bad", "A session cookie open to all", {
      headers: [
        ["Set-Cookie", "session=2f6c1d; Path=/"],
        ["Set-Cookie", "tracker=1; SameSite=None"],
      ],
    }),
  ];
}

function sharing() {
  return [
    page(
      "cors-closed",
      "Good headers that no page of another origin may read",
      { headers: GOOD_HEADERS.filter(([name]) => name !== "Cross-Origin-Resource-Policy"), cors: "closed" },
      { expect: { headers: "none" } },
    ),
    page("cors-open", "Shared with everybody", {}),
    page("cors-reflecting", "Reflects every origin, with credentials", { cors: "reflect" }),
    page("cors-null", "Trusts the origin null", { cors: "null" }, { expect: { headers: "none" } }),
  ];
}

function bodies() {
  return [
    page("large", "A body of 4 MB", { answer: "bytes", size: 4 * 1024 * 1024 }),
    page("endless", "A body that drips for ever", { answer: "trickle" }),
    page("empty", "204 and no body", { answer: "empty", status: 204 }, { expect: { status: 204 } }),
    page("missing", "404", { status: 404, title: "Not found" }, { expect: { status: 404 } }),
    page(
      "locked",
      "401 with a challenge",
      { status: 401, headers: [["WWW-Authenticate", 'Basic realm="range"']] },
      { expect: { status: 401 } },
    ),
    page("hostile", "Markup, scripts and control characters wherever a string can be", {
      title: `</title><script>document.documentElement.dataset.pwned="title"</script><img src=x onerror="document.documentElement.dataset.pwned='img'">`,
      body: `<svg onload="document.documentElement.dataset.pwned='svg'"></svg>\u202e\u0007\u001b[31m`,
      headers: [
        ["Server", `<script>document.documentElement.dataset.pwned="server"</script>`],
        ["X-Powered-By", `"><img src=x onerror=document.documentElement.dataset.pwned='powered'>`],
        [
          "Content-Security-Policy",
          `default-src 'self'; <b onmouseover=alert(1)>script-src</b> 'unsafe-inline'; report-uri =HYPERLINK("http://example.com")`,
        ],
      ],
    }),
    page("leaky", "A page with credentials left in it (made up, none ever worked)", { body: leakedScript() }),
    page("leaky-bundle", "A page whose script has a credential left in it (made up, too)", {
      body: `<div id="app"></div><script type="module" src="assets/app.js"></script><script src="https://cdn.invalid/x.js"></script>`,
      script: leakedBundle(),
    }),
  ];
}

function mcpServers() {
  return [
    mcp("mcp-json", "MCP, answers as JSON", { answers: "json", catalogue: SMALL_CATALOGUE }),
    mcp("mcp-sse", "MCP, answers as server-sent events", { answers: "sse", catalogue: SMALL_CATALOGUE }),
    mcp("mcp-pages", "MCP, three tools a page", { answers: "json", pageSize: 3, catalogue: BIG_CATALOGUE }),
    mcp("mcp-hostile", "MCP, hostile text in every name and description", {
      answers: "sse",
      catalogue: HOSTILE_CATALOGUE,
    }),
    mcp("mcp-toolbox", "MCP, tools that are dangerous alone and together", {
      answers: "json",
      catalogue: TOOLBOX_CATALOGUE,
    }),
    mcp("mcp-old", "MCP, speaks 2024-11-05 only", {
      answers: "json",
      versions: ["2024-11-05"],
      catalogue: SMALL_CATALOGUE,
    }),
    mcp("mcp-open", "MCP, without a session", {
      answers: "json",
      sessions: false,
      catalogue: SMALL_CATALOGUE,
    }),
    {
      ...mcp("mcp-endless", "MCP, a list whose next page always exists", {
        answers: "json",
        endless: true,
        catalogue: SMALL_CATALOGUE,
      }),
      expect: { outcome: "answers", status: 405, headers: "all" },
    },
    {
      ...mcp("mcp-locked", "MCP, wants a bearer token", {
        answers: "json",
        locked: true,
        catalogue: SMALL_CATALOGUE,
      }),
      expect: { outcome: "answers", status: 401, headers: "all", mcp: { refused: "unauthorized" } },
    },
    {
      ...mcp("mcp-broken", "MCP, every initialize is a JSON-RPC error", {
        answers: "json",
        refuses: true,
        catalogue: SMALL_CATALOGUE,
      }),
      expect: { outcome: "answers", status: 405, headers: "all", mcp: { refused: "error" } },
    },
  ];
}

function page(name, about, does, more = {}) {
  const { expect, ...rest } = more;
  return {
    name,
    about,
    does: { title: about, ...does },
    ...rest,
    expect: { outcome: "answers", status: 200, headers: "all", ...expect },
  };
}

function mcp(name, about, options) {
  const { tools, resources, prompts } = options.catalogue;
  const names = {
    tools: tools.map((tool) => tool.name),
    resources: resources.map((resource) => resource.uri),
    prompts: prompts.map((prompt) => prompt.name),
  };
  return {
    name,
    about,
    path: `/${name}/mcp`,
    does: { answer: "mcp", title: about },
    mcp: options,
    expect: { outcome: "answers", status: 405, headers: "all", mcp: names },
  };
}

function fails() {
  return { expect: { outcome: "fails", status: undefined, headers: "none" } };
}

function berths(count) {
  return Array.from({ length: count }, (_, index) => `/harbour/${index + 1}`);
}

function mixed() {
  return { expect: { outcome: "mixed" } };
}

/** Put together at run time, so that no scanner takes this file for a leak. */
function leakedScript() {
  const id = ["AKIA", "RANGE", "7EXAMPLE", "42Q"].join("");
  const token = ["ghp", "_", "r4ng3".repeat(7), "Z"].join("");
  return `<script>const config = { accessKeyId: "${id}", githubToken: "${token}" };</script><p>Deployed.</p>`;
}

/** As a bundler leaves it: one long line. */
function leakedBundle() {
  const key = ["sk_", "live", "_", "51RangeMadeUp9Xq2Lm7Vb4Kc8"].join("");
  return `const t=()=>document.querySelector("#app"),e={pay:"${key}"};t().textContent="Ready";export{e as config};\n`;
}
