/** One window with one scene: `?scene=&lang=&tab=&failed=&rule=&press=&text=`. */
import { mount, tick } from "svelte";
import App from "../../src/App.svelte";
import { Session, type Tab } from "../../src/lib/session.svelte";
import { translate } from "../../src/messages";
import { FakeCompanion } from "../fake";
import { browserRows, deliveredRecords, failedRecords, runs, scenes, timeline, waitingRecords } from "../scenes";

const query = new URLSearchParams(location.search);
const now = new Date();
const scene = query.get("scene") ?? "up_to_date";
const status = scenes(now)[["gone", "again"].includes(scene) ? "waiting" : ["first", "no_start"].includes(scene) ? "signed_out" : scene];
const { lang, messages } = translate([query.get("lang") ?? "en-GB"]);
document.documentElement.lang = lang;
document.documentElement.style.fontSize = query.get("text") ?? "";

const target = document.getElementById("app");
if (target) {
  const many = Number(query.get("failed") ?? status?.failed ?? 0);
  const companion = new FakeCompanion(status ?? null, failedRecords(now, many), runs(now));
  companion.waiting = waitingRecords(now, 120);
  companion.rows = browserRows(now);
  companion.sent = deliveredRecords(now);
  companion.points = timeline(now);
  companion.rules = [{ id: "1", match: "host", pattern: "*.bank.example", action: "drop" }];
  const accepted = "a length of time from 1m to 24h, such as 5m";
  const text = `config.toml: sync.interval = "often" is not accepted; ${accepted}`;
  const problem = { key: "sync.interval", value: "often", accepted, text };
  companion.shell = { firstRun: scene === "first", ...(scene === "no_start" && { problem }) };
  const session = new Session(companion);
  session.tab = (query.get("tab") ?? "overview") as Tab;
  mount(App, { target, props: { session, m: messages } });
  if (scene !== "connecting") await session.start();
  if (scene === "gone") companion.gone?.();
  if (scene === "again") companion.say(null);
  await tick();
  const rule = query.get("rule");
  if (rule) {
    await new Promise(requestAnimationFrame);
    const field = document.querySelector<HTMLInputElement>("[data-testid=rule-pattern]");
    if (field) field.value = rule;
    field?.dispatchEvent(new Event("input", { bubbles: true }));
  }
  const press = query.get("press");
  for (const testid of press ? press.split(",") : []) {
    await tick();
    await new Promise(requestAnimationFrame);
    document.querySelector<HTMLElement>(testid.startsWith("#") ? testid : `[data-testid=${testid}]`)?.click();
  }
}
