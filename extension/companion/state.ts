/**
 * What a popup shows: how the client stands with the host, and what waits.
 */
import type { Counts } from './outbox';
import type { CloseCause } from './port';
import type { CompanionStatus } from './protocol';

export type LinkState =
  | { at: 'stopped' }
  | { at: 'connecting' }
  | { at: 'ready' }
  | { at: 'waiting'; why: CloseCause | 'unsupported_protocol' | 'silent'; retryAt: number };

export interface Problem {
  code: string;
  text: string;
}

export interface CompanionState {
  link: LinkState;
  /** Records that the host has not acknowledged yet. */
  outbox: Counts;
  /** The companion's own status, as last pushed. */
  status: CompanionStatus | null;
  lastAckAt: number | null;
  /** Why the last frame was not taken; null after the next ack. */
  problem: Problem | null;
}

export interface RequestResult {
  accepted: boolean;
  /** Of the host, or `not_connected`, `no_answer`. */
  reason: string | null;
}

export const initialState: CompanionState = {
  link: { at: 'stopped' },
  outbox: { pageVisits: 0, tabAggregates: 0 },
  status: null,
  lastAckAt: null,
  problem: null,
};
