/**
 * Delivery: takes the oldest run of the outbox, sends it as one frame, deletes it on the ack.
 *
 * Invariants
 * - `inFlight` holds the one frame without an answer; while it stands nothing else is sent.
 * - An item is confirmed by (seq, generation), and only by an ack of its own frame whose
 *   counts add up to what was sent.
 * - A frame that is refused as too large, or goes down with its port, comes again half as
 *   long; the length recovers by doubling. A record that fails alone is set aside for a
 *   while, never deleted.
 */
import type { Clock } from './clock';
import type { Link } from './link';
import type { OutboxItem, OutboxStore, Stamp } from './outbox';
import * as policy from './policy';
import type { HostFrame } from './protocol';
import type { Problem } from './state';

export interface SenderOptions {
  store: OutboxStore;
  clock: Clock;
  link: Link;
  refFor: (stamp: Stamp) => string | undefined;
  onDelivered: () => Promise<void>;
  /** There is nothing that may go now. */
  onIdle: () => void;
  onProblem: (problem: Problem) => void;
}

type Answer = Extract<HostFrame, { type: 'ack' | 'nack' | 'error' }>;

export class Sender {
  /** The connection whose `welcome` was taken in; nothing is sent on another. */
  private welcomedEpoch = -1;
  private limit = policy.FRAME_RECORDS;
  private maxRecords = policy.FRAME_RECORDS;
  private maxBytes = policy.FRAME_BYTES;
  private inFlight: { id: string; items: OutboxItem[]; cancelTimeout: () => void } | null = null;
  private pausedUntil = 0;
  private cancelPause: (() => void) | null = null;
  private pumping = false;
  private again = false;
  private stopped = false;
  private asidesSinceAck = 0;
  private lastAsideAt = -Infinity;

  constructor(private readonly options: SenderOptions) {}

  welcome(epoch: number, maxRecords: number, maxMessageBytes: number): void {
    this.maxRecords = Math.min(policy.FRAME_RECORDS, maxRecords);
    this.maxBytes = Math.min(policy.FRAME_BYTES, Math.floor(maxMessageBytes / 2));
    this.welcomedEpoch = epoch;
    this.resume();
  }

  /** Sends the next frame if there is something to send and nothing in the way. */
  pump(): void {
    if (this.pumping) {
      this.again = true;
      return;
    }
    this.pumping = true;
    void this.next()
      .catch((error: unknown) => {
        this.options.onProblem({ code: 'outbox', text: error instanceof Error ? error.message : String(error) });
      })
      .finally(() => {
        this.pumping = false;
        if (this.again) {
          this.again = false;
          this.pump();
        }
      });
  }

  async answered(answer: Answer): Promise<void> {
    const flight = this.inFlight;
    if (flight === null || answer.id !== flight.id) {
      // The host ends at a length it does not take, without having read whose it was. What else has no name is of
      // something else: a frame that is never answered is sent again after its time.
      const length = answer.type === 'error' && answer.id === null && answer.code === 'message_too_large';
      if (length && flight !== null) await this.refused(answer.code, answer.error);
      return;
    }
    if (answer.type === 'ack') {
      if (answer.total !== flight.items.length) {
        this.options.onProblem({
          code: 'ack_mismatch',
          text: `the host accounts for ${answer.total} of ${flight.items.length} records`,
        });
        this.options.link.reset('silent');
        return;
      }
      await this.options.store.confirm(flight.items);
      this.land();
      this.asidesSinceAck = 0;
      this.limit = Math.min(this.maxRecords, this.limit * 2);
      await this.options.onDelivered();
      this.pump();
      return;
    }
    if (answer.type === 'nack') {
      this.land();
      this.options.onProblem({ code: answer.code, text: answer.error });
      this.pause(answer.retryAfterMs);
      return;
    }
    await this.refused(answer.code, answer.error);
  }

  /** The port ended: a frame in flight may be the reason. */
  async portLost(): Promise<void> {
    await this.shrink();
    this.resume();
  }

  stop(): void {
    this.stopped = true;
    this.land();
    this.resume();
  }

  private async next(): Promise<void> {
    const { store, clock, link, refFor } = this.options;
    if (this.blocked()) return;
    const limit = { records: Math.min(this.limit, this.maxRecords), bytes: this.maxBytes };
    const items = await store.head(limit, clock.now(), (stamp) => JSON.stringify(refFor(stamp) ?? null));
    const first = items[0];
    if (first === undefined) {
      this.options.onIdle();
      return;
    }
    // The port may have gone, or a pause begun, while the outbox was read.
    if (this.blocked()) return;
    const id = clock.uuid();
    const accountRef = refFor(first.stamp);
    const records = (kind: OutboxItem['kind']): unknown[] =>
      items.filter((item) => item.kind === kind).map((item) => JSON.parse(item.text) as unknown);
    const cancelTimeout = clock.after(policy.ACK_TIMEOUT_MS, () => link.reset('silent'));
    this.inFlight = { id, items, cancelTimeout };
    link.send({
      type: 'records',
      id,
      ...(accountRef === undefined ? {} : { accountRef }),
      pageVisits: records('pageVisit'),
      tabAggregates: records('tabAggregate'),
    });
  }

  private blocked(): boolean {
    return (
      this.stopped ||
      !this.options.link.ready ||
      this.options.link.epoch !== this.welcomedEpoch ||
      this.inFlight !== null ||
      this.options.clock.now() < this.pausedUntil
    );
  }

  private async refused(code: string, text: string): Promise<void> {
    this.options.onProblem({ code, text });
    await this.shrink();
    this.pause(policy.RECONNECT_FIRST_MS);
  }

  /** The frame in flight failed as a whole: halve, or note the failure of the one record. */
  private async shrink(): Promise<void> {
    const flight = this.inFlight;
    if (flight === null) return;
    this.land();
    const [only, ...others] = flight.items;
    this.limit = Math.max(1, Math.ceil(flight.items.length / 2));
    if (only === undefined || others.length > 0) return;
    const now = this.options.clock.now();
    if (now - this.lastAsideAt >= policy.ASIDE_MS) this.asidesSinceAck = 0;
    if (this.asidesSinceAck >= policy.ASIDES_WITHOUT_ACK) return;
    const failures = only.failures + 1;
    const aside = failures >= policy.ALONE_FAILURES;
    const length = policy.asideFor(failures);
    await this.options.store.fail(only, aside ? now + length : 0);
    if (!aside) return;
    this.asidesSinceAck += 1;
    this.lastAsideAt = now;
    // A worker that is stopped loses this timer; then the alarm's `wake` pumps.
    this.options.clock.after(length, () => this.pump());
    this.options.onProblem({ code: 'set_aside', text: 'a record is set aside for a while: the host ends when it gets it' });
  }

  private land(): void {
    this.inFlight?.cancelTimeout();
    this.inFlight = null;
  }

  private pause(ms: number): void {
    this.cancelPause?.();
    this.pausedUntil = this.options.clock.now() + ms;
    this.cancelPause = this.options.clock.after(ms, () => this.resume());
  }

  private resume(): void {
    this.cancelPause?.();
    this.cancelPause = null;
    this.pausedUntil = 0;
    this.pump();
  }
}
