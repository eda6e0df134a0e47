/**
 * The popup: one sentence, four numbers, two buttons, and the pause of the capture.
 */
import { type Capture, pause, type PauseFor, resume } from '../background/consent';
import type { PageMessage } from '../background/pages';
import type { CompanionState } from '../companion';
import { connectPage } from './link';
import { confirmedOf, type Look, sentenceOf } from './sentence';
import { ago, number, ofCapture, plural, t, translate } from './text';

/** Five looks that differ in shape, as in the companion's tray. */
const ICONS: Record<Look, string> = {
  calm: 'M5 12.5l4.5 4.5L19 7.5',
  syncing: 'M4 12a8 8 0 0 1 13.7-5.6L20 8.7M20 4v4.7h-4.7M20 12a8 8 0 0 1-13.7 5.6L4 15.3M4 20v-4.7h4.7',
  retrying: 'M12 4a8 8 0 1 0 0 16a8 8 0 0 0 0-16M12 8v4.5l3 1.5',
  paused: 'M9 6v12M15 6v12',
  attention: 'M12 4l9 16H3zM12 10v4M12 17v.01',
};

const part = (id: string): HTMLElement => {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`popup.html has no #${id}`);
  return element;
};
const say = (id: string, text: string): void => {
  // A live region speaks at each write, so only changes are written.
  if (part(id).textContent !== text) part(id).textContent = text;
};

translate();
const wish = connectPage(show);
for (const name of ['sync', 'open'] as const) {
  part(name).addEventListener('click', () => {
    say('answer', t('asking'));
    wish(name);
  });
}
for (const length of ['hour', 'tomorrow', 'resumed'] satisfies PauseFor[]) {
  part(`pause-${length}`).addEventListener('click', () => keep(pause(length)));
}
part('resume').addEventListener('click', () => keep(resume()));
part('read').addEventListener('click', () => {
  void chrome.tabs.create({ url: chrome.runtime.getURL('consent.html') }).then(() => window.close());
});

/** What the user said of the capture; where it could not be kept, that is said. */
function keep(said: Promise<void>): void {
  said.then(
    () => say('answer', ''),
    () => say('answer', t('notKept')),
  );
}

function show(message: PageMessage): void {
  if (message.type === 'answer') {
    const { accepted, reason } = message.result;
    const done = message.wish === 'sync' ? t('answerSync') : t('answerOpen');
    say('answer', accepted ? done : refusal(reason));
    return;
  }
  const { companion, capture, ill } = message;
  const { status, outbox } = companion;
  const { look, key, count } = sentenceOf(companion, capture, ill);
  const now = Date.now();
  document.documentElement.dataset['says'] = key;
  part('icon').setAttribute('d', ICONS[look]);
  say('sentence', count === undefined ? t(key) : plural(key, count));
  part('head').classList.toggle('attention', look === 'attention');
  say('detail', capture.is === 'unasked' ? '' : detailOf(companion));
  say('outbox', number(outbox.pageVisits + outbox.tabAggregates));
  const known = status !== null && companion.link.at === 'ready';
  say('backlog', known ? number(status.backlog.pageVisits + status.backlog.tabAggregates) : t('unknown'));
  say('failed', known ? number(status.failed) : t('unknown'));
  const confirmed = confirmedOf(companion);
  say('confirmed', typeof confirmed === 'string' ? t(confirmed) : ago(confirmed, now));
  for (const name of ['sync', 'open'] as const) (part(name) as HTMLButtonElement).disabled = companion.link.at !== 'ready';
  say('open', known && !status.agentRunning ? t('start') : t('open'));
  showCapture(capture);
}

/** In words of our own where it is known by its name, else the companion's, quoted. */
function refusal(reason: string | null): string {
  if (reason === null) return t('refused_unknown');
  return t(`refused_${reason}`) || `${t('refused_unknown')} ${t('detailSaid', reason)}`;
}

function detailOf({ link, problem, status }: CompanionState): string {
  const known = problem === null || link.at === 'waiting' ? '' : t(`problem_${problem.code}`);
  if (known !== '') return known;
  const said = problem?.text ?? status?.reason ?? '';
  // The companion's own sentence, in English: other languages quote it.
  if (link.at !== 'waiting') return said === '' ? '' : t('detailSaid', said);
  return t(link.why === 'no_host' ? 'detailNoHost' : 'detailSafe');
}

/** Before the question was answered there is nothing to count, to send or to pause. */
function showCapture(capture: Capture): void {
  say('capture', ofCapture(capture));
  const unasked = capture.is === 'unasked';
  for (const id of ['facts', 'actions', 'foot']) part(id).hidden = unasked;
  part('asking').hidden = !unasked;
  const pausing = part('pause') as HTMLDetailsElement;
  const resuming = part('resume');
  const focused = [pausing, resuming].some((place) => place.contains(document.activeElement));
  pausing.hidden = capture.is !== 'on';
  resuming.hidden = capture.is !== 'paused';
  if (pausing.hidden) pausing.open = false;
  // The button that was pressed is gone: whoever uses the keyboard goes on with the one in its place.
  if (focused) (pausing.hidden ? resuming : pausing.querySelector('summary'))?.focus();
}
