/** The window of a test: the whole app beside a companion that answers from memory, at a time that stands still. */
import { cleanup, render } from "@testing-library/svelte";
import { tick } from "svelte";
import { afterEach, beforeEach, expect, vi } from "vitest";
import App from "../src/App.svelte";
import type { Status } from "../src/generated/Status";
import { Format } from "../src/lib/format";
import { Session } from "../src/lib/session.svelte";
import { catalogues } from "../src/messages";
import { FakeCompanion } from "./fake";

export const now = new Date("2026-11-21T14:30:00Z");

beforeEach(() => {
  vi.useFakeTimers({ now, toFake: ["Date", "setTimeout", "clearTimeout"] });
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/** What is put on the clipboard, in a list. */
export function clipboard(): string[] {
  const written: string[] = [];
  vi.stubGlobal("navigator", { ...navigator, clipboard: { writeText: (text: string) => Promise.resolve(void written.push(text)) } });
  return written;
}

/** Lets answers arrive and effects run: no time passes. */
export async function settle() {
  for (let i = 0; i < 20; i += 1) {
    await Promise.resolve();
    await tick();
  }
}

export const english = catalogues.en(new Format("en-GB"));
export const german = catalogues.de(new Format("de-DE"));

export async function open(status: Status | null, companion = new FakeCompanion(status), m = english) {
  // There is one window, and one clock.
  cleanup();
  const session = new Session(companion);
  const { container } = render(App, { session, m });
  await session.start();
  await settle();
  const find = (testid: string) => container.querySelector<HTMLElement>(`[data-testid="${testid}"]`);
  const count = (testid: string) => container.querySelectorAll(`[data-testid="${testid}"]`).length;
  const text = (testid: string) => find(testid)?.textContent?.replace(/\s+/g, " ").trim();
  const press = async (testid: string) => {
    const element = find(testid);
    expect(element, testid).not.toBeNull();
    element?.click();
    await settle();
  };
  const type = async (testid: string, value: string) => {
    const field = find(testid) as HTMLInputElement;
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    await settle();
  };
  const asked = (name: string) => companion.asked.filter(([n]) => n === name).map(([, ...args]) => args);
  return { container, session, companion, find, count, text, press, type, asked };
}
