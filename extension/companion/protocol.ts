/**
 * Native messaging protocol 1, as TypeScript types: the frames this client sends
 * and the frames the host answers with. `docs/native-messaging.md` is the text.
 *
 * Invariant: nothing the host says is trusted by its type. `readHostFrame` checks
 * every field that is used before a frame gets a type.
 */

export const PROTOCOL = 1;
export const HOST_NAME = 'com.heyho.companion';

export type Kind = 'pageVisit' | 'tabAggregate';
export type JsonObject = { [name: string]: unknown };

export interface ClientInfo {
  name: string;
  version: string;
  browser: string;
  browserVersion: string;
}

export interface Rule {
  id: string;
  match: 'host' | 'url';
  pattern: string;
  action: 'drop' | 'strip';
}

/** The object of `heyho status --json`; only what a popup needs is named. */
export interface CompanionStatus {
  state: string;
  reason: string | null;
  backlog: { pageVisits: number; tabAggregates: number };
  failed: number;
  lastConfirmedAt: string | null;
  nextAttemptAt: string | null;
  account: { ref: string; email: string } | null;
  agentRunning: boolean;
}

export type ClientFrame =
  | { type: 'hello'; id: string; protocol: number; client: ClientInfo & { profileId: string } }
  | { type: 'records'; id: string; accountRef?: string; pageVisits: unknown[]; tabAggregates: unknown[] }
  | { type: 'subscribe' | 'sync' | 'open' | 'status'; id: string };

export interface Ack {
  type: 'ack';
  id: string;
  /** Records of the frame that the host accounts for, whatever became of each. */
  total: number;
}

export type HostFrame =
  | { type: 'welcome'; maxRecords: number; maxMessageBytes: number; accountRef: string | null | undefined; rules: Rule[] | null }
  | Ack
  | { type: 'nack'; id: string; code: string; error: string; retryAfterMs: number }
  | { type: 'status'; status: CompanionStatus }
  | { type: 'rules'; rules: Rule[] }
  | { type: 'syncRequested' | 'opened'; id: string; accepted: boolean; reason: string | null }
  | { type: 'forget'; domain: string }
  | { type: 'error'; id: string | null; code: string; error: string };

/** Reads one frame of the host; null for a frame this client does not know. */
export function readHostFrame(value: unknown): HostFrame | null {
  if (!isObject(value)) return null;
  const id = typeof value['id'] === 'string' ? value['id'] : null;
  switch (value['type']) {
    case 'welcome': {
      const limits = isObject(value['limits']) ? value['limits'] : {};
      const account = value['account'];
      return {
        type: 'welcome',
        maxRecords: positive(limits['maxRecords']) ?? 1000,
        maxMessageBytes: positive(limits['maxMessageBytes']) ?? 33_554_432,
        // Not said: it cannot tell at the moment, and who was known last holds on.
        accountRef: account === undefined ? undefined : isObject(account) && typeof account['ref'] === 'string' ? account['ref'] : null,
        rules: readRules(value['rules']),
      };
    }
    case 'ack': {
      const counts = ['stored', 'updated', 'unchanged', 'filtered', 'rejectedMore'].map((n) => count(value[n]));
      const rejected = value['rejected'];
      if (id === null || counts.includes(null) || !Array.isArray(rejected)) return null;
      return { type: 'ack', id, total: counts.reduce<number>((sum, n) => sum + (n ?? 0), rejected.length) };
    }
    case 'nack':
      if (id === null) return null;
      return { type: 'nack', id, ...words(value), retryAfterMs: count(value['retryAfterMs']) ?? 5_000 };
    case 'status':
      return typeof value['state'] === 'string' ? { type: 'status', status: readStatus(value) } : null;
    case 'rules': {
      const rules = readRules(value['rules']);
      return rules === null ? null : { type: 'rules', rules };
    }
    case 'syncRequested':
    case 'opened':
      if (id === null || typeof value['accepted'] !== 'boolean') return null;
      return { type: value['type'], id, accepted: value['accepted'], reason: text(value['reason']) };
    case 'forget':
      return typeof value['domain'] === 'string' ? { type: 'forget', domain: value['domain'] } : null;
    case 'error':
      return { type: 'error', id, ...words(value) };
    default:
      return null;
  }
}

function readStatus(value: JsonObject): CompanionStatus {
  const backlog = isObject(value['backlog']) ? value['backlog'] : {};
  const account = value['account'];
  return {
    state: String(value['state']),
    reason: text(value['reason']),
    backlog: { pageVisits: count(backlog['pageVisits']) ?? 0, tabAggregates: count(backlog['tabAggregates']) ?? 0 },
    failed: count(value['failed']) ?? 0,
    lastConfirmedAt: text(value['lastConfirmedAt']),
    nextAttemptAt: text(value['nextAttemptAt']),
    account:
      isObject(account) && typeof account['ref'] === 'string'
        ? { ref: account['ref'], email: text(account['email']) ?? '' }
        : null,
    agentRunning: value['agentRunning'] === true,
  };
}

/**
 * A rule this client cannot read is left to the host, which applies all of them again. Null where the host says
 * none because it cannot read them itself: those that are known hold on.
 */
function readRules(value: unknown): Rule[] | null {
  if (!Array.isArray(value)) return null;
  return value.filter(
    (rule): rule is Rule =>
      isObject(rule) &&
      typeof rule['pattern'] === 'string' &&
      (rule['match'] === 'host' || rule['match'] === 'url') &&
      (rule['action'] === 'drop' || rule['action'] === 'strip'),
  );
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function words(value: JsonObject): { code: string; error: string } {
  return { code: text(value['code']) ?? 'unknown', error: text(value['error']) ?? '' };
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function count(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function positive(value: unknown): number | null {
  const n = count(value);
  return n === null || n === 0 ? null : n;
}
