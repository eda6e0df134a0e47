/**
 * What the button in the browser's bar says while the popup is closed: only that capture is paused.
 *
 * The browser forgets it when it ends; every start of the worker says it again.
 */
import type { Capture } from './consent';

/** Two bars: the sign of a pause, in letters that every font has. */
const PAUSED = 'II';

export async function showBadge(capture: Capture): Promise<void> {
  const { action, i18n } = chrome;
  const paused = capture.is === 'paused';
  await Promise.all([
    action.setBadgeBackgroundColor({ color: '#565d66' }),
    action.setBadgeTextColor({ color: '#ffffff' }),
    action.setBadgeText({ text: paused ? PAUSED : '' }),
    action.setTitle({ title: i18n.getMessage(paused ? 'titlePaused' : 'extensionName') }),
  ]);
}
