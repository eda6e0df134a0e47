/**
 * The look at what the browser has open: it finds what no event told of.
 *
 * Invariants
 * - What was seen is taken only where the browser said nothing while it was looked at: what it says meanwhile is newer
 *   than a part of it. Then it is looked at again.
 * - A look that is due is not given up. Where the browser refuses it (a tab is being dragged), or does not stop talking,
 *   it is repeated after a wait that doubles, and at whatever the browser says next.
 * - One at a time, and none after `stop`.
 */
import type { Event } from '../capture/types';

/** How often one follows another at once. */
export const AT_ONCE = 5;
export const FIRST_WAIT_MS = 250;
export const LONGEST_WAIT_MS = 16_000;

export interface LookOptions {
  see: () => Promise<Event>;
  take: (seen: Event) => void;
  after: (ms: number, task: () => void) => () => void;
  /** `failing` has changed. */
  onChange: () => void;
  log: (message: string) => void;
}

export class Look {
  /** How often the browser has said something, or somebody that it is to be looked at from now on. */
  private said = 0;
  private due = false;
  private refused = false;
  private running: Promise<void> | null = null;
  private waits = 0;
  private cancelWait: (() => void) | null = null;

  constructor(private readonly options: LookOptions) {}

  /** The browser refused it, and nothing has been seen since. */
  get failing(): boolean {
    return this.refused;
  }

  /** Looks at the browser as it is from now on. Done after the first attempt, whatever came of it. */
  now(): Promise<void> {
    this.said += 1;
    this.due = true;
    return this.attempt();
  }

  /** Tries again where something is still to be seen. */
  again(): void {
    if (this.due) void this.attempt();
  }

  /** The browser has said something, which was handled before. */
  heard(): void {
    this.said += 1;
    this.again();
  }

  stop(): void {
    this.said += 1;
    this.end();
  }

  private attempt(): Promise<void> {
    this.running ??= this.look().finally(() => {
      this.running = null;
    });
    return this.running;
  }

  private async look(): Promise<void> {
    for (let times = 0; times < AT_ONCE && this.due; times++) {
      const before = this.said;
      let seen: Event;
      try {
        seen = await this.options.see();
      } catch (error) {
        this.options.log(`look: ${error instanceof Error ? error.message : String(error)}`);
        if (this.due) this.become(true);
        break;
      }
      if (before !== this.said) continue;
      this.options.take(seen);
      this.end();
    }
    if (this.due) this.wait();
  }

  private end(): void {
    this.due = false;
    this.waits = 0;
    this.cancelWait?.();
    this.cancelWait = null;
    this.become(false);
  }

  /** What is tried meanwhile, because the browser said something, makes no wait longer. */
  private wait(): void {
    this.cancelWait ??= this.options.after(Math.min(FIRST_WAIT_MS * 2 ** this.waits, LONGEST_WAIT_MS), () => {
      this.cancelWait = null;
      this.waits += 1;
      this.again();
    });
  }

  private become(refused: boolean): void {
    if (refused === this.refused) return;
    this.refused = refused;
    this.options.onChange();
  }
}
