/**
 * "Now", for relative times: one timer for the whole window. It runs each second only while a countdown under
 * two minutes or an age under a minute is on show, else every ten, and not at all while the window is hidden.
 */
const FAST = 1_000;
const SLOW = 10_000;

class Clock {
  now = $state(new Date());
  #fast = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Starts ticking; the answer stops it. */
  run(): () => void {
    const visibility = () => this.#schedule();
    document.addEventListener("visibilitychange", visibility);
    this.#schedule();
    return () => {
      document.removeEventListener("visibilitychange", visibility);
      clearTimeout(this.#timer);
    };
  }

  /** Says which moments are on show. */
  showing(moments: readonly (Date | null)[]): void {
    const now = Date.now();
    const fast = moments.some((at) => {
      if (at === null) return false;
      const ahead = at.getTime() - now;
      return ahead > -60_000 && ahead < 120_000;
    });
    if (fast !== this.#fast) {
      this.#fast = fast;
      this.#schedule();
    }
  }

  /** To be called with each status: an event must not be shown as older than it is. */
  touch(): void {
    this.now = new Date();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    this.touch();
    this.#timer = setTimeout(() => this.#schedule(), this.#fast ? FAST : SLOW);
  }
}

export const clock = new Clock();
