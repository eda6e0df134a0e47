/**
 * The status window.
 *
 * - It shows the last status the agent said and nothing it worked out by itself: a number that is not known yet
 *   is shown as not known.
 * - It asks nothing on a timer. The shell emits `status` after each change; lists are read again when the status
 *   says that they changed (that of browsers: when a connection did), settings when `settings` says so, and `ending`
 *   when the companion ends. The one timer only lets relative times move on.
 * - It holds no secret: a password goes from the form to the shell and is cleared there and then.
 *
 * What tests may rely on: `data-testid` attributes, and `data-state` on the status head, which carries the raw
 * state of the contract (`connecting` before the first status, `disconnected` when the agent is gone).
 * Parts that are in a tab are reached by `tab-overview`, `tab-failed`, `tab-browsers`, `tab-history`, `tab-settings`.
 */
import { mount } from "svelte";
import Root from "./Root.svelte";
import { tauriCompanion } from "./lib/companion";
import { Session } from "./lib/session.svelte";

// The shell names the languages behind the `#`, the chosen one apart from the system's: `de;en-GB`. So the first
// words are already in it, and tray and window speak the same one.
const [chosen = "", system = ""] = location.hash.slice(1).split(";");

const target = document.getElementById("app");
if (target) {
  const session = new Session(tauriCompanion());
  session.language = chosen || null;
  mount(Root, { target, props: { session, preferred: [system, ...navigator.languages] } });
  void session.start();
}
