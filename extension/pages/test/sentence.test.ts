import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { CompanionState } from '../../companion';
import { confirmedOf, sentenceOf } from '../sentence';

const here = (path: string): string => new URL(`../../${path}`, import.meta.url).pathname;
const catalogue = (language: string): Record<string, { message: string }> =>
  JSON.parse(readFileSync(here(`_locales/${language}/messages.json`), 'utf8')) as Record<string, { message: string }>;

const ON = { is: 'on', since: 0 } as const;
const PAUSED = { is: 'paused', since: 0, until: null } as const;

const state = (change: Partial<CompanionState> = {}, status: object = {}): CompanionState => ({
  link: { at: 'ready' },
  outbox: { pageVisits: 0, tabAggregates: 0 },
  status: {
    state: 'up_to_date', reason: null, backlog: { pageVisits: 2, tabAggregates: 1 }, failed: 0,
    lastConfirmedAt: null, nextAttemptAt: null, account: null, agentRunning: true, ...status,
  },
  lastAckAt: null,
  problem: null,
  ...change,
});

describe('the last confirmation', () => {
  it.each([
    ['of somebody who has sent nothing yet', state(), 'nothingSent'],
    ['with records that wait since ever', state({}, { state: 'retrying' }), 'never'],
    ['of a companion that is not heard', state({ link: { at: 'connecting' } }), 'unknown'],
    ['before the first status', state({ status: null }), 'unknown'],
    ['at a time', state({}, { lastConfirmedAt: '1970-01-01T00:00:01Z' }), 1_000],
  ])('%s', (_, companion, said) => {
    expect(confirmedOf(companion)).toBe(said);
  });
});

describe('the sentence of the popup', () => {
  it.each([
    ['up_to_date', 'sayUpToDate', 'calm'],
    ['waiting', 'sayWaiting', 'calm'],
    ['syncing', 'saySyncing', 'syncing'],
    ['retrying', 'sayRetrying', 'retrying'],
    ['paused', 'sayPaused', 'paused'],
    ['signed_out', 'saySignedOut', 'attention'],
    ['session_expired', 'saySessionExpired', 'attention'],
    ['needs_attention', 'sayNeedsAttention', 'attention'],
    ['buffer_problem', 'sayBufferProblem', 'attention'],
    ['something_new', 'sayUnknown', 'retrying'],
  ])('for %s is %s', (name, key, look) => {
    expect(sentenceOf(state({}, { state: name }), ON)).toMatchObject({ key, look });
  });

  it('is never green where the companion is not reached, not running, or nothing is captured', () => {
    const away: CompanionState['link'][] = [
      { at: 'stopped' }, { at: 'connecting' },
      ...(['no_host', 'forbidden', 'host_ended', 'silent', 'unsupported_protocol'] as const).map((why) => ({ at: 'waiting' as const, why, retryAt: 0 })),
    ];
    for (const link of away) expect(sentenceOf(state({ link }), ON).look).not.toBe('calm');
    expect(sentenceOf(state({}, { agentRunning: false }), ON).key).toBe('sayNoAgent');
    expect(sentenceOf(state(), { is: 'unasked' }).key).toBe('sayUnasked');
    expect(sentenceOf(state(), { is: 'off' })).toEqual({ look: 'paused', key: 'sayCaptureOff' });
  });

  it('is never green while something waits in the browser, and says where nothing is taken', () => {
    const outbox = { pageVisits: 3, tabAggregates: 1 };
    const refused = { code: 'buffer_unavailable', text: 'a rule is mistaken' };
    expect(sentenceOf(state({ outbox }), ON)).toEqual({ look: 'syncing', key: 'sayHandingOver', count: 4 });
    for (const name of ['up_to_date', 'waiting', 'syncing', 'retrying', 'paused']) {
      expect(sentenceOf(state({ outbox, problem: refused }, { state: name }), ON)).toEqual({ look: 'attention', key: 'sayNotTaken' });
    }
    expect(sentenceOf(state({ outbox, problem: refused }, { agentRunning: false }), ON).key).toBe('sayNotTaken');
    // Of earlier ones that have been taken since.
    expect(sentenceOf(state({ problem: refused }), ON).key).toBe('sayUpToDate');
    for (const code of ['buffer_busy', 'set_aside']) expect(sentenceOf(state({ outbox, problem: { code, text: '' } }), ON).key).toBe('sayHandingOver');
  });

  it('does not say that records are kept where the host cannot keep them either', () => {
    expect(sentenceOf(state({}, { state: 'buffer_problem', agentRunning: false }), ON).key).toBe('sayBufferProblem');
  });

  it('says that capture is paused, but first what somebody has to do', () => {
    expect(sentenceOf(state(), PAUSED)).toEqual({ look: 'paused', key: 'sayCapturePaused' });
    expect(sentenceOf(state({}, { state: 'retrying' }), PAUSED).key).toBe('sayCapturePaused');
    expect(sentenceOf(state({}, { state: 'session_expired' }), PAUSED).key).toBe('saySessionExpired');
    expect(sentenceOf(state({ link: { at: 'waiting', why: 'no_host', retryAt: 0 } }), PAUSED).key).toBe('sayNoHost');
  });

  it('says before all else that nothing can be written down, while capture is on', () => {
    expect(sentenceOf(state(), ON, true)).toEqual({ look: 'attention', key: 'sayCaptureIll' });
    expect(sentenceOf(state(), PAUSED, true).key).toBe('sayCapturePaused');
    expect(sentenceOf(state(), { is: 'unasked' }, true).key).toBe('sayUnasked');
  });

  it('has its words in every language, and so has every page', () => {
    const languages = readdirSync(here('_locales'));
    const keys = Object.keys(catalogue('en')).sort();
    // Those that are named by the client, the host, and whoever starts the app (crates/native-host/src/launch.rs).
    const named = [
      ...['outbox', 'set_aside', 'ack_mismatch', 'buffer_full', 'buffer_busy', 'schema_newer'].map((code) => `problem_${code}`),
      ...['agent_not_running', 'signed_out', 'paused', 'not_connected', 'no_answer', 'unknown', 'not_installed', 'ended_at_once', 'not_started'].map((code) => `refused_${code}`),
    ];
    expect(named.filter((key) => !keys.includes(key))).toEqual([]);
    for (const language of languages) expect(Object.keys(catalogue(language)).sort(), language).toEqual(keys);
    const sources = ['pages/popup.html', 'pages/consent.html', 'pages/popup.ts', 'pages/consent.ts', 'pages/sentence.ts', 'pages/text.ts', 'background/badge.ts', 'manifest/base.json'];
    for (const source of sources) {
      const text = readFileSync(here(source), 'utf8');
      const used = [...text.matchAll(/data-i18n="(\w+)"|\bt\('(\w+)'|getMessage\(paused \? '(\w+)'|wrong \? '(\w+)'|key: '(\w+)'|__MSG_(\w+)__/g)].map((m) => m.slice(1).find(Boolean) ?? '');
      for (const key of used) expect(keys.some((k) => k === key || k === `${key}_other`), `${key} in ${source}`).toBe(true);
    }
  });
});
