/**
 * The consent page: says what is captured and where it goes, and takes the answer.
 * Also the place to stop again; the browser lists it as the extension's options.
 */
import { ASKING_PAGE, type Capture, onCaptureChange, readCapture, setCapture } from '../background/consent';
import { ofCapture, t, translate } from './text';

const button = (id: string): HTMLButtonElement => document.getElementById(id) as HTMLButtonElement;
const answer = document.getElementById('answer') as HTMLElement;

let answeredHere = false;

translate();
const answerWith = (id: string, capture: 'on' | 'off'): void =>
  button(id).addEventListener('click', () => {
    answeredHere = true;
    setCapture(capture).catch(() => say(t('notKept')));
  });
answerWith('consent-allow', 'on');
answerWith('consent-decline', 'off');
answerWith('consent-stop', 'off');
onCaptureChange(show);
readCapture().then(show, () => show(null));

function show(capture: Capture | null): void {
  if (capture === null) {
    say(t('notRead'));
    return;
  }
  if (capture.is !== 'unasked' && !answeredHere && location.href === chrome.runtime.getURL(ASKING_PAGE)) {
    void closeThisTab();
    return;
  }
  const agreed = capture.is === 'on' || capture.is === 'paused';
  button('consent-allow').hidden = agreed;
  button('consent-decline').hidden = capture.is !== 'unasked';
  button('consent-stop').hidden = !agreed;
  say(sayOf(capture));
  document.documentElement.dataset['capture'] = capture.is;
}

function say(sentence: string): void {
  answer.hidden = sentence === '';
  answer.textContent = sentence;
}

function sayOf(capture: Capture): string {
  if (capture.is === 'unasked') return '';
  return capture.is === 'paused' ? ofCapture(capture) : t(`consentNow_${capture.is}`);
}

/** The question that this tab asks was answered in another one. */
async function closeThisTab(): Promise<void> {
  const tab = await chrome.tabs.getCurrent();
  if (tab?.id !== undefined) await chrome.tabs.remove(tab.id);
}
