/**
 * The status window.
 *
 * - It shows the last status the agent said and nothing it worked out by itself: a number that is not known yet
 *   is shown as not known.
 * - It asks nothing on a timer. The shell emits `status` after each change; lists are read again when the status
 *   says that they changed. The one timer only lets relative times move on.
 * - It holds no secret: a password goes from the form to the shell and is cleared there and then.
 *
 * What tests may rely on: `data-testid` attributes, and `data-state` on the status head, which carries the raw
 * state of the contract (`connecting` before the first status, `disconnected` when the agent is gone).
 * Parts that are in a tab are reached by `tab-overview`, `tab-failed`, `tab-browsers`, `tab-history`, `tab-settings`.
 */
import { mount } from "svelte";
import App from "./App.svelte";
import { tauriCompanion } from "./lib/companion";
import { Session } from "./lib/session.svelte";
import { translate } from "./messages";

// The shell names the user's language behind the `#`, so that tray and window speak the same one.
const { lang, messages } = translate([location.hash.slice(1), ...navigator.languages]);
document.documentElement.lang = lang;

const target = document.getElementById("app");
if (target) {
  const session = new Session(tauriCompanion());
  mount(App, { target, props: { session, m: messages } });
  void session.start();
}
