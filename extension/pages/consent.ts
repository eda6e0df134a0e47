/**
 * The consent page: says what is captured and where it goes, and takes the answer.
 * Also the place to stop again; the browser lists it as the extension's options.
 */
import { ASKING_PAGE, type Capture, onCaptureChange, readCapture, setCapture } from '../background/consent';
import { t, translate } from './text';

const button = (id: string): HTMLButtonElement => document.getElementById(id) as HTMLButtonElement;
const answer = document.getElementById('answer') as HTMLElement;

let answeredHere = false;

translate();
const answerWith = (id: string, capture: 'on' | 'off'): void =>
  button(id).addEventListener('click', () => {
    answeredHere = true;
    void setCapture(capture);
  });
answerWith('consent-allow', 'on');
answerWith('consent-decline', 'off');
answerWith('consent-stop', 'off');
onCaptureChange(show);
void readCapture().then(show);

function show(capture: Capture): void {
  if (capture !== 'unasked' && !answeredHere && location.href === chrome.runtime.getURL(ASKING_PAGE)) {
    void closeThisTab();
    return;
  }
  button('consent-allow').hidden = capture === 'on';
  button('consent-decline').hidden = capture !== 'unasked';
  button('consent-stop').hidden = capture !== 'on';
  answer.hidden = capture === 'unasked';
  answer.textContent = capture === 'unasked' ? '' : t(`consentNow_${capture}`);
  document.documentElement.dataset['capture'] = capture;
}

/** The question that this tab asks was answered in another one. */
async function closeThisTab(): Promise<void> {
  const tab = await chrome.tabs.getCurrent();
  if (tab?.id !== undefined) await chrome.tabs.remove(tab.id);
}
