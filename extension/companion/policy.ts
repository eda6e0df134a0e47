/**
 * Every limit and interval of the client, each with its reason.
 */

/** Records a frame: one commit of the host, well under its limit of 1,000 of a kind. */
export const FRAME_RECORDS = 200;
/** Bytes a frame: small enough that a browser copies it without a pause. */
export const FRAME_BYTES = 4 * 1024 * 1024;
/** A record over this never fits the host's frame limit of 32 MiB: refused where it is added. */
export const RECORD_BYTES = 32 * 1024 * 1024 - 4_096;
/** The host commits in milliseconds and waits at most some 10 s for a lock; beyond this it hangs. */
export const ACK_TIMEOUT_MS = 60_000;
export const HELLO_TIMEOUT_MS = 15_000;
/** `open` may start the app first. */
export const REQUEST_TIMEOUT_MS = 20_000;
/** How long `sync` and `open` wait for a connection that is only just being made. */
export const CONNECT_PATIENCE_MS = 5_000;
/** Reconnect: 1, 2, 4 … 60 s, each shortened by up to a fifth so that profiles do not march in step. */
export const RECONNECT_FIRST_MS = 1_000;
export const RECONNECT_MAX_MS = 60_000;
export const RECONNECT_JITTER = 0.2;
/** A host that stayed this long was healthy; its end starts the backoff anew. */
export const HEALTHY_AFTER_MS = 30_000;
/** A record that alone ended the port this often is set aside for a while, so that the rest goes on. */
export const ALONE_FAILURES = 3;
export const ASIDE_MS = 10 * 60 * 1_000;
/** When nothing gets through in between, it is the host that is ill, not the records: no more are set aside for a while. */
export const ASIDES_WITHOUT_ACK = 3;
/** Ids of dropped visits remembered, so that no later record points to one; and how long, as they tell of a time. */
export const DROPPED_IDS = 1_000;
export const DROPPED_MS = 7 * 24 * 60 * 60 * 1_000;

/**
 * How long a record is set aside that failed alone so often: each time twice as long, up to 80 minutes, so that some
 * dozen such records are not all back before the last of them is set aside.
 */
export function asideFor(failures: number): number {
  return ASIDE_MS * 2 ** Math.min(Math.max(0, failures - ALONE_FAILURES), 3);
}

/** A delay before attempt `n` (0 is the first retry); `random` is in [0, 1). */
export function reconnectDelay(n: number, random: number): number {
  const full = Math.min(RECONNECT_MAX_MS, RECONNECT_FIRST_MS * 2 ** Math.min(n, 16));
  return Math.round(full * (1 - RECONNECT_JITTER * random));
}
