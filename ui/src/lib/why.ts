/** A failed record's reason in the reader's language. What the backend said stays as it said it. */
import type { FailedRecord } from "../generated/FailedRecord";
import type { Reason } from "../generated/Reason";
import type { Messages } from "../messages";

export function why(reason: Reason, m: Messages): string {
  switch (reason.code) {
    case "rejected_at_capture":
      // The rule is one of ours, said in the reader's language; the message is the agent's own.
      return m.failed.why.rejectedAtCapture(m.asTheAgent ? reason.message : (m.failed.rule[reason.rule] ?? reason.message));
    case "rejected_by_backend":
      return m.failed.why.rejectedByBackend(reason.message);
    case "too_large":
      return m.failed.why.tooLarge(m.format.bytes(Number(reason.bytes)), m.format.bytes(Number(reason.limit)));
    case "not_confirmed":
      return m.failed.why.notConfirmed(m.failed.attempts(reason.attempts));
    case "damaged":
      // What the agent found is in its own language, and of no use to a reader: it is in the details.
      return m.failed.why.damaged(m.asTheAgent ? reason.message : null);
  }
}

/** The same for a row, where there is room for one line: what is the matter, without the sentence around it. */
export function brief(reason: Reason, m: Messages): string {
  switch (reason.code) {
    case "rejected_at_capture":
      return capital(m.asTheAgent ? reason.message : (m.failed.rule[reason.rule] ?? reason.message));
    case "rejected_by_backend":
      return capital(reason.message);
    case "damaged":
      return m.asTheAgent ? capital(reason.message) : m.failed.reason.damaged;
    default:
      return why(reason, m);
  }
}

export const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** The name of a reason in the filter; a code of a later agent is shown as it is. */
export function reasonName(code: string, m: Messages): string {
  const names: Record<string, string> = m.failed.reason;
  return names[code] ?? code;
}

/** How a run ended, in few words; a word of a later agent is shown as it is. */
export function outcomeName(code: string, m: Messages): string {
  const names: Record<string, string> = m.outcome;
  return names[code] ?? code;
}

export function wentWell(code: string | undefined): boolean {
  return code === undefined || ["emptied", "nothing_to_send", "left_behind"].includes(code);
}

/** What a row is headed with: the title, else where it was, else what it is. */
export function heading(record: FailedRecord, m: Messages): string {
  return record.title || record.host || record.id || m.failed.kind[record.kind];
}

/** What is not acceptable as captured would not be at the backend either: it waits no more (crates/buffer/src/failed.rs). */
export const NOT_AGAIN = "rejected_at_capture";
export const canRetry = (record: FailedRecord): boolean => record.reason.code !== NOT_AGAIN;

/** Everything known of one record, for a report to whoever runs the backend. */
export function details(record: FailedRecord): string {
  const { record: text, ...rest } = record;
  return JSON.stringify({ ...rest, record: text === undefined ? null : parsed(text) }, null, 2);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
