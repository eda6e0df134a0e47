/**
 * A thing that is read from the agent: when asked to, with the fault if it could not be. An answer that comes
 * after a newer question is dropped; what was there before stays on show until the new one is.
 */
import type { Fault } from "../generated/Fault";
import { asFault } from "./companion";

export class Loaded<T> {
  value = $state.raw<T | null>(null);
  fault = $state<Fault | null>(null);
  busy = $state(false);
  #question = 0;

  async read(ask: () => Promise<T>): Promise<T | null> {
    this.#question += 1;
    const mine = this.#question;
    this.busy = true;
    try {
      const answer = await ask();
      if (mine !== this.#question) return null;
      this.value = answer;
      this.fault = null;
      return answer;
    } catch (thrown) {
      if (mine === this.#question) this.fault = asFault(thrown);
      return null;
    } finally {
      if (mine === this.#question) this.busy = false;
    }
  }
}
