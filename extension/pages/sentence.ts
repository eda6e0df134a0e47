/**
 * The popup's one sentence: what is true of link and companion, never more than is known.
 * Pure, so that every case is tested.
 */
import type { Capture } from '../background/consent';
import type { CompanionState } from '../companion';

export type Look = 'calm' | 'syncing' | 'retrying' | 'paused' | 'attention';

export interface Sentence {
  look: Look;
  /** A message key of `_locales`, with its count where it has a plural. */
  key: string;
  count?: number;
}

/** What somebody has to do comes before a pause, which the popup names in a place of its own as well. */
export function sentenceOf(state: CompanionState, capture: Capture, ill = false): Sentence {
  if (capture.is === 'unasked') return { look: 'attention', key: 'sayUnasked' };
  if (ill && capture.is === 'on') return { look: 'attention', key: 'sayCaptureIll' };
  const sentence = ofCompanion(state);
  if (capture.is === 'on' || sentence.look === 'attention') return sentence;
  return { look: 'paused', key: capture.is === 'paused' ? 'sayCapturePaused' : 'sayCaptureOff' };
}

/** What holds a frame up for a moment, and needs nobody. */
const PASSING = ['buffer_busy', 'set_aside'];

/** When the last records were confirmed, or the key of what is said instead: nothing may have been sent yet. */
export function confirmedOf({ link, status }: CompanionState): number | 'never' | 'nothingSent' | 'unknown' {
  const at = Date.parse(status?.lastConfirmedAt ?? '');
  if (!Number.isNaN(at)) return at;
  if (link.at !== 'ready' || status === null) return 'unknown';
  return status.state === 'up_to_date' ? 'nothingSent' : 'never';
}

function ofCompanion({ link, status, outbox, problem }: CompanionState): Sentence {
  if (link.at === 'waiting') {
    switch (link.why) {
      case 'no_host':
        return { look: 'attention', key: 'sayNoHost' };
      case 'forbidden':
        return { look: 'attention', key: 'sayForbidden' };
      case 'unsupported_protocol':
        return { look: 'attention', key: 'sayProtocol' };
      default:
        return { look: 'retrying', key: 'sayHostEnded' };
    }
  }
  if (link.at !== 'ready' || status === null) return { look: 'syncing', key: 'sayConnecting' };
  // Without an agent as well: then it is the host that cannot use it, and nothing is kept.
  if (status.state === 'buffer_problem') return { look: 'attention', key: 'sayBufferProblem' };
  const here = outbox.pageVisits + outbox.tabAggregates;
  if (here > 0 && problem !== null && !PASSING.includes(problem.code)) return { look: 'attention', key: 'sayNotTaken' };
  if (!status.agentRunning) return { look: 'paused', key: 'sayNoAgent' };
  const waiting = status.backlog.pageVisits + status.backlog.tabAggregates;
  switch (status.state) {
    case 'up_to_date':
      return here > 0 ? { look: 'syncing', key: 'sayHandingOver', count: here } : { look: 'calm', key: 'sayUpToDate' };
    case 'waiting':
      return { look: 'calm', key: 'sayWaiting', count: waiting };
    case 'syncing':
      return { look: 'syncing', key: 'saySyncing' };
    case 'retrying':
      return { look: 'retrying', key: 'sayRetrying', count: waiting };
    case 'paused':
      return { look: 'paused', key: 'sayPaused' };
    case 'signed_out':
      return { look: 'attention', key: 'saySignedOut' };
    case 'session_expired':
      return { look: 'attention', key: 'saySessionExpired' };
    case 'needs_attention':
      return { look: 'attention', key: 'sayNeedsAttention' };
    default:
      return { look: 'retrying', key: 'sayUnknown' };
  }
}
