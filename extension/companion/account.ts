/**
 * Which account a record goes under: decided at its capture, said with its frame.
 *
 * Invariant: a record that was captured under A, or after A had signed out, or before A signed in as the first, is
 * never delivered in a way that the host could bind to B.
 */
import type { Stamp } from './outbox';

/** A ref no host ever issues. Records under a ref the host does not know stay unclaimed. */
const NOBODY = 'signed-out';

export class AccountBook {
  constructor(
    private current: string | null = null,
    private last: string | null = null,
    /** Whose is what was captured before anybody had signed in. */
    private first: string | null = last,
  ) {}

  static read(stored: unknown): AccountBook {
    const value = (stored ?? {}) as { current?: unknown; last?: unknown; first?: unknown };
    const ref = (x: unknown): string | null => (typeof x === 'string' ? x : null);
    const last = ref(value.last);
    return new AccountBook(ref(value.current), last, ref(value.first) ?? last);
  }

  get ref(): string | null {
    return this.current;
  }

  /** Takes what the host says; true if that changed anything. */
  learn(ref: string | null): boolean {
    if (ref === this.current) return false;
    this.current = ref;
    if (ref !== null) this.last = ref;
    this.first ??= ref;
    return true;
  }

  toJSON(): { current: string | null; last: string | null; first: string | null } {
    return { current: this.current, last: this.last, first: this.first };
  }

  stamp(): Stamp {
    return { ref: this.current, signedOutOf: this.current === null ? this.last : null };
  }

  /** The `accountRef` of a frame with such records; undefined to leave it to the host. */
  refFor(stamp: Stamp): string | undefined {
    if (stamp.ref !== null) return stamp.ref;
    // The host would bind it to who is signed in now.
    if (stamp.signedOutOf === null) return this.first ?? undefined;
    const foreign = this.current !== null && stamp.signedOutOf !== this.current;
    return foreign ? NOBODY : undefined;
  }
}
