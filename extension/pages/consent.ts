/**
 * The consent page: says what is captured and where it goes, and takes the answer.
 * Also the place to stop again; the browser lists it as the extension's options.
 */
import { type Capture, onCaptureChange, readCapture, setCapture } from '../background/consent';
import { t, translate } from './text';

const button = (id: string): HTMLButtonElement => document.getElementById(id) as HTMLButtonElement;
const answer = document.getElementById('answer') as HTMLElement;

translate();
button('consent-allow').addEventListener('click', () => void setCapture('on'));
button('consent-decline').addEventListener('click', () => void setCapture('off'));
button('consent-stop').addEventListener('click', () => void setCapture('off'));
onCaptureChange(show);
void readCapture().then(show);

function show(capture: Capture): void {
  button('consent-allow').hidden = capture === 'on';
  button('consent-decline').hidden = capture !== 'unasked';
  button('consent-stop').hidden = capture !== 'on';
  answer.hidden = capture === 'unasked';
  answer.textContent = capture === 'unasked' ? '' : t(`consentNow_${capture}`);
  document.documentElement.dataset['capture'] = capture;
}
