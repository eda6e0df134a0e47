/**
 * The identity a record has in the outbox: the same rule as the host's (contract, section 1).
 *
 * A record without an identity is carried too, under a name of its own: the host keeps it
 * among the failed with the reason, where the user sees it. It is not lost here in silence.
 */
import type { JsonObject, Kind } from './protocol';

export function identityOf(kind: Kind, record: JsonObject, uuid: () => string): string {
  const id = kind === 'pageVisit' ? first(record['id'], record['visitId']) : first(record['id'], aggregateId(record));
  return typeof id === 'string' && id !== '' ? id : `unnamed-${uuid()}`;
}

function aggregateId(record: JsonObject): string | null {
  const start = first(record['startTime'], record['start_time']);
  const tab = record['tabId'];
  const given = (value: unknown): boolean => typeof value === 'number' || typeof value === 'string';
  return given(start) && given(tab) ? `agg_${String(start)}_${String(tab)}` : null;
}

function first(...values: unknown[]): unknown {
  return values.find((value) => value !== null && value !== undefined);
}
