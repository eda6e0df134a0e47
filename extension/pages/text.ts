/**
 * Words of the pages: message catalogues in `_locales`, numbers and times through Intl.
 */
import type { Capture } from '../background/consent';

export function t(key: string, ...values: string[]): string {
  return chrome.i18n.getMessage(key, values);
}

/** Fills every element that names a message. */
export function translate(): void {
  const language = chrome.i18n.getUILanguage();
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll<HTMLElement>('[data-i18n]')) {
    element.textContent = t(element.dataset['i18n'] ?? '');
  }
}

export function number(n: number): string {
  return new Intl.NumberFormat(chrome.i18n.getUILanguage()).format(n);
}

/** A message in its plural form: `key_one`, `key_other` and so on. */
export function plural(key: string, n: number): string {
  const form = new Intl.PluralRules(chrome.i18n.getUILanguage()).select(n);
  return t(`${key}_${form}`, number(n)) || t(`${key}_other`, number(n));
}

/** "15:00", with the day where it is not today's. */
export function clock(at: number, now: number): string {
  const day = new Date(at).toDateString() === new Date(now).toDateString() ? {} : { weekday: 'long' as const };
  const format = new Intl.DateTimeFormat(chrome.i18n.getUILanguage(), { hour: 'numeric', minute: '2-digit', ...day });
  return format.format(at);
}

/** What the pages say of the capture, in a sentence. */
export function ofCapture(capture: Capture): string {
  if (capture.is !== 'paused' || capture.until === null) return t(`capture_${capture.is}`);
  return t('capture_pausedUntil', clock(capture.until, Date.now()));
}

/** "2 minutes ago", "in 40 seconds". */
export function ago(at: number, now: number): string {
  const seconds = Math.round((at - now) / 1_000);
  const size = Math.abs(seconds);
  const format = new Intl.RelativeTimeFormat(chrome.i18n.getUILanguage(), { numeric: 'auto' });
  if (size < 60) return format.format(seconds, 'second');
  if (size < 3_600) return format.format(Math.round(seconds / 60), 'minute');
  if (size < 86_400) return format.format(Math.round(seconds / 3_600), 'hour');
  return format.format(Math.round(seconds / 86_400), 'day');
}
