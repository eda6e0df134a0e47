/** Where the focus goes when what had it is gone with what was done: without it, the keyboard begins at the top again. */
import { tick } from "svelte";

/**
 * To the first of these that is there: it is beside what was there before. Somebody who has gone on to something else
 * meanwhile, or has scrolled away, is left there.
 */
export async function refocus(...to: readonly (() => HTMLElement | null | undefined)[]): Promise<void> {
  await tick();
  const at = document.activeElement;
  if (at !== null && at !== document.body && !at.matches(":disabled")) return;
  for (const find of to) {
    const element = find();
    if (element) return element.focus({ preventScroll: true });
  }
}
