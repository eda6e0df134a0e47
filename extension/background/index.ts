/**
 * The background worker: wires browser, capture and companion client together.
 *
 * Everything at the top level runs synchronously at each start of the worker; only then
 * does the browser deliver the event that started it.
 */
import { Recorder } from '../capture/recorder';
import { CaptureStore } from '../capture/store';
import { uuid7 } from '../capture/uuid7';
import { Companion } from '../companion';
import { listen, snapshot } from './browser';
import { showBadge } from './badge';
import { ASKING_PAGE, type Capture, onCaptureChange, readCapture, resume } from './consent';
import { describeBrowser } from './describe';
import { servePages } from './pages';

const BEAT_ALARM = 'beat';
const BEAT_SECONDS = 20;
/** The end of a pause. */
const RESUME_ALARM = 'resume';

const log = (message: string): void => console.warn(message);
const companion = new Companion({
  client: { name: 'heyho-companion-extension', version: chrome.runtime.getManifest().version, ...describeBrowser() },
  log,
});
const recorder = new Recorder({
  openStore: () => CaptureStore.open(),
  newId: (at) => uuid7(at),
  now: () => Date.now(),
  after: (ms, task) => {
    const timer = setTimeout(task, ms);
    return () => clearTimeout(timer);
  },
  hand: (kind, records, stamp) => companion.add(kind, records, stamp),
  log,
});

const admit = (url: string): string | null => companion.admit(url);
const beat = (): void => {
  recorder.dispatch({ type: 'beat', at: Date.now() });
  companion.wake();
};

listen((make) => void ready.then(() => recorder.dispatch(make())), admit);
servePages(companion);
onCaptureChange(turn);
companion.onRules(() => recorder.dispatch({ type: 'readmitted', at: Date.now(), admit }));
companion.onAccount(() => void belong().catch((error: unknown) => log(`account: ${String(error)}`)));
companion.onForget((kept) => recorder.dispatch({ type: 'readmitted', at: Date.now(), admit: kept }));
chrome.alarms.onAlarm.addListener((alarm) => {
  if (alarm.name === BEAT_ALARM) beat();
  if (alarm.name === RESUME_ALARM) void resumeIfDue();
});
chrome.runtime.onInstalled.addListener(() => void askOnce());
// Without this listener the worker would sleep until the first page of a new browser session.
chrome.runtime.onStartup.addListener(() => undefined);
setInterval(beat, BEAT_SECONDS * 1_000);

/** The rules of the last connection are known before any address is looked at. */
const ready = companion.start().catch((error: unknown) => log(`start: ${String(error)}`));
// Side by side: an event that waits is lost with the worker, so the wait is kept short.
const session = sessionName();
let turning: Promise<void> = Promise.resolve();
const begun = Promise.all([readCapture(), ready, session, recorder.open()]);
begun
  .then(([capture]) => turn(capture))
  .catch((error: unknown) => log(`start: ${String(error)}`))
  .finally(() => void keepBeating());

/** One turn after the other: what was said last holds at the end. */
function turn(capture: Capture): void {
  turning = turning.then(() => follow(capture)).catch((error: unknown) => log(`capture: ${String(error)}`));
}

async function follow(capture: Capture): Promise<void> {
  if (capture.is === 'on') {
    recorder.start(await session);
    await belong();
  } else {
    recorder.stop(await session, capture.is === 'paused' ? capture.since : Date.now());
  }
  await showBadge(capture);
  if (capture.is === 'paused' && capture.until !== null) await chrome.alarms.create(RESUME_ALARM, { when: capture.until });
  else await chrome.alarms.clear(RESUME_ALARM);
}

/** What was open under another account ends, and what the browser has open begins under this one. */
async function belong(): Promise<void> {
  recorder.dispatch({ type: 'account', at: Date.now(), stamp: companion.stamp });
  recorder.dispatch(await snapshot(admit));
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
async function sessionName(): Promise<string> {
  const { session } = await chrome.storage.session.get('session');
  if (typeof session === 'string') return session;
  const fresh = crypto.randomUUID();
  await chrome.storage.session.set({ session: fresh });
  return fresh;
}

async function askOnce(): Promise<void> {
  if ((await readCapture()).is === 'unasked') await chrome.tabs.create({ url: chrome.runtime.getURL(ASKING_PAGE) });
}
