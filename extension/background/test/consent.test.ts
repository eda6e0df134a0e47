import { describe, expect, it } from 'vitest';
import { captureOf, endOf } from '../consent';

const NOW = new Date(2026, 10, 21, 23, 30).getTime();
const AGREED = { capture: 'on', textVersion: 2, decidedAt: 0 };

describe('whether anything may be captured', () => {
  it.each([
    ['nothing was asked', undefined, undefined, 'unasked'],
    ['the text was another one', { ...AGREED, textVersion: 1 }, undefined, 'unasked'],
    ['it was declined', { ...AGREED, capture: 'off' }, undefined, 'off'],
    ['it was agreed to', AGREED, undefined, 'on'],
    ['a pause holds', AGREED, { since: NOW - 1, until: NOW + 1 }, 'paused'],
    ['a pause holds until the user resumes', AGREED, { since: NOW - 1, until: null }, 'paused'],
    ['the time of a pause is over', AGREED, { since: NOW - 2, until: NOW }, 'on'],
    ['a pause cannot be read', AGREED, 'nonsense', 'paused'],
    ['there is a pause, but no agreement', undefined, { since: 0, until: null }, 'unasked'],
  ])('%s', (_, stored, paused, is) => {
    expect(captureOf(stored, paused, NOW).is).toBe(is);
  });
});

it('capture is on since it was agreed to, and since a pause ended by its time', () => {
  const stored = { ...AGREED, decidedAt: 5 };
  expect(captureOf(stored, undefined, NOW)).toEqual({ is: 'on', since: 5 });
  expect(captureOf(stored, { since: 6, until: 7 }, NOW)).toEqual({ is: 'on', since: 7 });
});

describe('the end of a pause', () => {
  it('is in an hour, at six on the next morning, or when the user says so', () => {
    const now = new Date(NOW);
    expect(endOf('hour', now)).toBe(NOW + 3_600_000);
    expect(endOf('tomorrow', now)).toBe(new Date(2026, 10, 22, 6).getTime());
    expect(endOf('tomorrow', new Date(2026, 11, 31, 2))).toBe(new Date(2027, 0, 1, 6).getTime());
    expect(endOf('resumed', now)).toBeNull();
  });
});
