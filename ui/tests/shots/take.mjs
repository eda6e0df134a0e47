/**
 * Sheets of the window in every state, from the sources, with a companion that answers from memory:
 *   npm run shots -- FOLDER
 * Needs a Chromium (CHROMIUM names another). Pictures of the real window are `cargo xtask screenshots`.
 */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { createServer } from "vite";

const folder = process.argv[2] ?? "shots";
mkdirSync(folder, { recursive: true });
const run = promisify(execFile);

const states = ["connecting", "up_to_date", "waiting", "syncing", "retrying", "needs_attention", "needs_setting", "paused", "session_expired", "signed_out", "other_account", "buffer_problem", "full_signed_out", "unreadable", "failed_of_another", "again", "gone"];
const window_ = (query) => [query, 440, 640];
const tabs = [
  window_("scene=needs_attention&tab=failed"),
  window_("scene=needs_attention&tab=failed&press=%23row0"),
  window_("scene=needs_attention&tab=failed&press=failed-choose"),
  window_("scene=up_to_date&tab=failed"),
  window_("scene=up_to_date&tab=browsers"),
  window_("scene=signed_out&tab=browsers"),
  window_("scene=up_to_date&tab=history"),
  window_("scene=waiting&tab=settings&press=sign-out"),
  window_("scene=needs_attention&tab=failed&failed=5000&press=failed-more"),
  window_("scene=up_to_date&press=pause"),
  window_("scene=signed_out&press=signin-mode-register,signin-submit"),
  window_("scene=syncing_unknown"),
];
const tall = [
  ["scene=waiting", 440, 1400],
  ["scene=waiting&press=waiting-show", 440, 1400],
  ["scene=waiting&tab=settings", 440, 2000],
  ["scene=other_account", 440, 1400],
];
const first = [
  window_("scene=first"),
  window_("scene=first&press=first-agree"),
  window_("scene=first&press=first-agree,first-next"),
  window_("scene=first&press=first-agree,first-next,first-skip"),
  window_("scene=no_start"),
];
const narrow = [
  ["scene=retrying", 360, 640],
  ["scene=needs_attention&tab=failed&press=%23row0", 360, 640],
  ["scene=waiting&text=200%25", 360, 900],
  ["scene=signed_out&text=200%25", 440, 900],
  ["scene=needs_attention&tab=failed&text=200%25", 440, 900],
  ["scene=up_to_date&tab=history", 900, 640],
];
const pairs = [
  ["scene=full_signed_out", 440, 1000],
  ["scene=unreadable", 440, 640],
  ["scene=failed_of_another", 440, 640],
  ["scene=again", 440, 640],
  ["scene=unreadable&tab=settings", 440, 1000],
  ["scene=signed_out&tab=history", 440, 640],
  ["scene=unreadable&tab=settings&press=erase", 440, 640],
  ["scene=waiting&tab=settings&rule=bank.example", 440, 1700],
];
const sheets = {
  "states-light": [states.map((s) => window_(`scene=${s}`)), 1],
  "states-dark": [states.map((s) => window_(`scene=${s}`)), 0],
  "states-de": [states.map((s) => window_(`scene=${s}&lang=de-DE`)), 1],
  "tabs-light": [tabs, 1],
  "tabs-dark": [tabs, 0],
  "tabs-de": [tabs.map(([q, ...size]) => [`${q}&lang=de-DE`, ...size]), 1],
  "tall-light": [tall, 1],
  "tall-dark": [tall, 0],
  "pairs-light": [pairs, 1],
  "pairs-de-dark": [pairs.map(([q, ...size]) => [`${q}&lang=de-DE`, ...size]), 0],
  "first-light": [first, 1],
  "first-de-dark": [first.map(([q, ...size]) => [`${q}&lang=de-DE`, ...size]), 0],
  "narrow-light": [narrow, 1],
  "narrow-de-dark": [narrow.map(([q, ...size]) => [`${q}&lang=de-DE`, ...size]), 0],
};

const server = await createServer({ root: new URL("../..", import.meta.url).pathname, server: { port: 0, host: "127.0.0.1" }, logLevel: "warn" });
await server.listen();
const address = server.resolvedUrls.local[0];
const profile = mkdtempSync(join(tmpdir(), "shots-"));
try {
  for (const [name, [frames, scheme]] of Object.entries(sheets)) {
    if (process.argv[3] && !name.startsWith(process.argv[3])) continue;
    await run(process.env.CHROMIUM ?? "chromium", [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--hide-scrollbars",
      `--user-data-dir=${profile}`,
      `--blink-settings=preferredColorScheme=${scheme}`,
      "--window-size=1860,2040",
      "--virtual-time-budget=6000",
      `--screenshot=${join(folder, `${name}.png`)}`,
      `${address}tests/shots/sheet.html?frames=${encodeURIComponent(JSON.stringify(frames))}`,
    ]);
    console.log(join(folder, `${name}.png`));
  }
} finally {
  await server.close();
  rmSync(profile, { recursive: true, force: true });
}
