/**
 * What the button in the browser's bar says while the popup is closed: that capture is paused, or that it is on and
 * nothing can be noted.
 *
 * The browser forgets it when it ends; every start of the worker says it again.
 */
import type { Capture } from './consent';

/** Two bars: the sign of a pause, in letters that every font has. */
const PAUSED = 'II';

export async function showBadge(capture: Capture, ill: boolean): Promise<void> {
  const { action, i18n } = chrome;
  const paused = capture.is === 'paused';
  const wrong = ill && capture.is === 'on';
  await Promise.all([
    action.setBadgeBackgroundColor({ color: '#565d66' }),
    action.setBadgeTextColor({ color: '#ffffff' }),
    action.setBadgeText({ text: paused ? PAUSED : wrong ? '!' : '' }),
    action.setTitle({ title: i18n.getMessage(paused ? 'titlePaused' : wrong ? 'titleIll' : 'extensionName') }),
  ]);
}
