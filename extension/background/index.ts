/**
 * The background worker: wires browser, capture and companion client together.
 *
 * Everything at the top level runs synchronously at each start of the worker; only then
 * does the browser deliver the event that started it.
 *
 * Invariant: nothing is looked at, and no event is written down, before it is known whether capture is on, and the
 * host has said who is signed in and which rules hold: both may have changed while nobody listened. Where it cannot
 * be reached, or does not say so in time, what it said last holds. What happens meanwhile waits in memory.
 */
import { Recorder } from '../capture/recorder';
import { CaptureStore } from '../capture/store';
import type { Event } from '../capture/types';
import { uuid7 } from '../capture/uuid7';
import { Companion } from '../companion';
import { listen, snapshot } from './browser';
import { showBadge } from './badge';
import { ASKING_PAGE, type Capture, onCaptureChange, readCapture, resume } from './consent';
import { describeBrowser } from './describe';
import { Look } from './look';
import { servePages } from './pages';

const BEAT_ALARM = 'beat';
const BEAT_SECONDS = 20;
/** The end of a pause. */
const RESUME_ALARM = 'resume';
/** Of the browser's events that wait; a look at the browser follows in any case. */
const MOST_EARLY = 1_000;
/** How long the host may take when the browser starts: as long as the client waits for its greeting. */
const INFORMED_AT_START_MS = 15_000;
/** The same of a worker that is started again during use: what waits is lost if it is ended once more. */
const INFORMED_AGAIN_MS = 2_000;

const log = (message: string): void => console.warn(message);
const after = (ms: number, task: () => void): (() => void) => {
  const timer = setTimeout(task, ms);
  return () => clearTimeout(timer);
};
const companion = new Companion({
  client: { name: 'heyho-companion-extension', version: chrome.runtime.getManifest().version, ...describeBrowser() },
  log,
});
const recorder = new Recorder({
  openStore: () => CaptureStore.open(),
  newId: (at) => uuid7(at),
  now: () => Date.now(),
  after,
  hand: (kind, records, stamp) => companion.add(kind, records, stamp),
  log,
  onHealth: () => say(isIll()),
});
const admit = (url: string): string | null => companion.admit(url);
const look = new Look({
  see: () => snapshot(admit),
  take: (seen) => recorder.dispatch(seen),
  after,
  // Not before what was seen is handled.
  onChange: () => void recorder.settled().then(() => say(isIll())),
  log,
});
/** Somebody has changed the capture's state, and it could not be read. */
let unread = false;
/** The start, or a turn, has failed: it begins again at the next beat. */
let broken = false;
const isIll = (): boolean => unread || broken || recorder.unwell || look.failing;
/** As it was followed last. */
let followed: Capture | null = null;

const beat = (): void => {
  if (unread || broken || recorder.unwell) {
    begin();
  } else {
    recorder.dispatch({ type: 'beat', at: Date.now() });
    look.again();
  }
  companion.wake();
};
const pages = servePages(companion);
/** What waits; null since there is nothing to wait for. */
let early: (() => Event)[] | null = [];
/** Of what waits, nothing from before this moment is looked at: somebody has agreed then, or a pause has ended. */
let changedAt = 0;
let informed = false;

listen((make) => {
  if (early === null) {
    recorder.dispatch(make());
    look.heard();
  } else if (early.length < MOST_EARLY) {
    early.push(make);
  }
}, admit);
let changes = 0;
onCaptureChange(
  (capture) => {
    changes += 1;
    turn(capture);
  },
  (at) => {
    changedAt = at;
  },
);
companion.onRules(() => recorder.readmit(admit));
companion.onAccount(() => {
  if (recorder.on) void belong();
});
companion.onForget((forgetting) => recorder.forget(forgetting));
chrome.alarms.onAlarm.addListener((alarm) => {
  if (alarm.name === BEAT_ALARM) beat();
  if (alarm.name === RESUME_ALARM) resumeIfDue().catch(() => turn(null));
});
chrome.runtime.onInstalled.addListener(() => void askOnce());
// Without this listener the worker would sleep until the first page of a new browser session.
chrome.runtime.onStartup.addListener(() => undefined);
setInterval(beat, BEAT_SECONDS * 1_000);

let turning: Promise<void> = Promise.resolve();
let beginning = false;
let named: Promise<{ name: string; fresh: boolean }> | null = null;
begin();

/** At the start; and again at each beat, until nothing is wrong any more. */
function begin(): void {
  if (beginning) return;
  beginning = true;
  // Side by side: an event that waits is lost with the worker, so the wait is kept short.
  Promise.all([companion.start(), browserSession(), recorder.open()])
    .then(([, { fresh }]) => companion.informed(fresh ? INFORMED_AT_START_MS : INFORMED_AGAIN_MS))
    .then(() => {
      informed = true;
      return asItIs();
    })
    .catch((error: unknown) => {
      log(`start: ${String(error)}`);
      broken = true;
      say(true);
    })
    .finally(() => {
      beginning = false;
      void keepBeating();
    });
}

/** Read last, and left aside where somebody has changed it meanwhile: that is newer than what was read. */
async function asItIs(): Promise<void> {
  const before = changes;
  const capture = await readCapture();
  if (changes === before) turn(capture);
}

/** One turn after the other: what was said last holds at the end. */
function turn(capture: Capture | null): void {
  turning = turning.then(() => follow(capture)).catch((error: unknown) => {
    log(`capture: ${String(error)}`);
    broken = true;
    say(true);
  });
}

/** Whether what is browsed can be noted: to the popup, and on the button. */
function say(ill: boolean): void {
  pages.say({ ill });
  badge(ill).catch(() => undefined);
}

async function badge(ill: boolean): Promise<void> {
  const known = followed;
  const capture = known ?? (await readCapture());
  // Else it was shown meanwhile.
  if (known === followed) await showBadge(capture, ill);
}

async function follow(capture: Capture | null): Promise<void> {
  unread = capture === null;
  if (informed) broken = false;
  const { name: session } = await browserSession();
  if (capture === null || capture.is !== 'on') {
    look.stop();
    recorder.stop(session, capture?.is === 'paused' ? capture.since : Date.now());
    early = informed ? null : [];
  } else if (informed) {
    await capturing(session, Math.max(capture.since, changedAt));
  }
  if (capture === null) {
    say(true);
    return;
  }
  followed = capture;
  if (informed) {
    await recorder.settled();
    pages.say({ ill: isIll(), capture });
  }
  await showBadge(capture, broken || (informed && isIll()));
  if (capture.is === 'paused' && capture.until !== null) await chrome.alarms.create(RESUME_ALARM, { when: capture.until });
  else await chrome.alarms.clear(RESUME_ALARM);
}

/** What waited comes first, judged by what is known now; what was before capture was on is left out. */
async function capturing(session: string, since: number): Promise<void> {
  // A clock that was set back since leaves out nothing: that moment is no longer one of the past.
  const from = since > Date.now() ? 0 : since;
  const waited = (early ?? []).map((make) => make()).filter(({ at }) => at >= from);
  early = null;
  const at = Math.min(Date.now(), ...waited.map((event) => event.at));
  recorder.readmit(admit);
  recorder.start(session, at);
  recorder.dispatch({ type: 'account', at, stamp: companion.stamp });
  for (const event of waited) recorder.dispatch(event);
  await belong();
}

/** What was open under another account ends, and what the browser has open begins under this one. */
function belong(): Promise<void> {
  recorder.dispatch({ type: 'account', at: Date.now(), stamp: companion.stamp });
  return look.now();
}

/** A pause whose time is over is taken away, so that everybody hears of it. */
async function resumeIfDue(): Promise<void> {
  const capture = await readCapture();
  if (capture.is === 'on') await resume();
  else turn(capture);
}

/** The browser keeps an alarm over restarts of the worker, not always over its own. */
async function keepBeating(): Promise<void> {
  if ((await chrome.alarms.get(BEAT_ALARM)) === undefined) {
    await chrome.alarms.create(BEAT_ALARM, { periodInMinutes: 0.5 });
  }
}

/** A name for this run of the browser: `storage.session` is empty at each of its starts. */
function browserSession(): Promise<{ name: string; fresh: boolean }> {
  named ??= readSession().catch((error: unknown) => {
    named = null;
    throw error;
  });
  return named;
}

async function readSession(): Promise<{ name: string; fresh: boolean }> {
  const { session } = await chrome.storage.session.get('session');
  if (typeof session === 'string') return { name: session, fresh: false };
  const name = crypto.randomUUID();
  await chrome.storage.session.set({ session: name });
  return { name, fresh: true };
}

async function askOnce(): Promise<void> {
  if ((await readCapture()).is === 'unasked') await chrome.tabs.create({ url: chrome.runtime.getURL(ASKING_PAGE) });
}
