// @vitest-environment node
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { catalogues, translate } from "../src/messages";
import { Format } from "../src/lib/format";
import type { BrowserRow } from "../src/generated/BrowserRow";
import { browserRows } from "./scenes";

/** Every key with what it says: sentences with arguments are called with plausible ones. */
function said(value: unknown, path = ""): [string, string][] {
  if (typeof value === "string") return [[path, value]];
  // Of a row of the list of browsers: a test of its own.
  if (path === "browserSays") return [];
  if (typeof value === "function") {
    const texts = [1, 7].map((n) => String((value as (...a: unknown[]) => unknown)(...Array<unknown>(value.length).fill(n))));
    return texts.map((text, i) => [`${path}(${i})`, text]);
  }
  if (value instanceof Format || typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => said(inner, path ? `${path}.${key}` : key));
}

test("every catalogue says something for every key", () => {
  // What the agent says is its own in English, and has a catalogue only in other languages.
  const agents = /^reasons\b/;
  const english = said(catalogues.en(new Format("en"))).map(([key]) => key);
  for (const [lang, catalogue] of Object.entries(catalogues)) {
    const entries = said(catalogue(new Format(lang)));
    expect(entries.map(([key]) => key).filter((key) => !agents.test(key)), lang).toEqual(english);
    for (const [key, text] of entries) {
      expect(text.trim(), `${lang} ${key}`).not.toBe("");
      expect(text, `${lang} ${key}`).not.toMatch(/undefined|NaN|\[object|#/);
    }
  }
});

test("German is German: no sentence was left in English", () => {
  const english = new Map(said(catalogues.en(new Format("en"))));
  const names = new Set(["app", "settings.app", "failed.reasonCount(0)", "failed.reasonCount(1)"]);
  const left = said(catalogues.de(new Format("de")))
    .filter(([key, text]) => text.includes(" ") && english.get(key) === text && !names.has(key));
  expect(left).toEqual([]);
});

/** Every Rust source of a crate. */
function rust(crate: string): string {
  const folder = fileURLToPath(new URL(`../../crates/${crate}/src`, import.meta.url));
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".rs"));
  return files.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
}

test("each word of the agent has its German sentence", () => {
  const words = new Set<string>();
  for (const crate of ["records", "sync", "agent", "buffer"]) {
    for (const [, word] of rust(crate).matchAll(/Said::new\(\s*"(\w+)"/g)) words.add(word as string);
  }
  const why = rust("sync").matchAll(/(?:Why|HeldBack)::\w+(?: \{ \.\. \})? => "(\w+)",/g);
  for (const [, word] of why) words.add(word as string);
  expect(words.size).toBeGreaterThan(25);
  const reasons = catalogues.de(new Format("de")).reasons;
  // That one has a place and a button of its own (lib/head.ts).
  words.delete("recovered");
  expect([...words].filter((word) => !(word in reasons))).toEqual([]);
});

test("each cause that prevents a start has its German sentence", () => {
  const reasons = catalogues.de(new Format("de")).reasons;
  const causes = [...rust("agent").matchAll(/StartError::[^=]*? => "(\w+)",/g)].map(([, cause]) => cause as string);
  expect(causes.length).toBeGreaterThan(8);
  const fallback = reasons["no_start"]!({});
  expect(causes.filter((cause) => reasons["no_start"]!({ cause }) === fallback)).toEqual([]);
});

test("how a browser stands, and what mends it, is said in German as well", () => {
  const source = rust("local");
  const states = [...(/pub enum BrowserState \{([^}]*)\}/.exec(source)?.[1] ?? "").matchAll(/^\s+(\w+),$/gm)];
  expect(states.length).toBeGreaterThan(8);
  const says = catalogues.de(new Format("de")).browserSays;
  const row = (more: Partial<BrowserRow>): string => says!({ ...browserRows(new Date())[0]!, name: "Firefox", sentence: "In English.", ...more });
  for (const [, state] of states) {
    const word = (state as string).replace(/\B[A-Z]/g, (letter) => `_${letter}`).toLowerCase() as BrowserRow["state"];
    expect(row({ state: word }), word).toMatch(/[a-zäöü]/);
  }
  // Each sandbox with the one thing that mends it.
  expect(row({ state: "blocked", form: "flatpak" })).toMatch(/Befehl/);
  expect(row({ state: "blocked", form: "snap" })).toMatch(/Installieren Sie Firefox/);
  expect(row({ state: "registered", form: "snap" })).toMatch(/erlauben Sie es/);
  expect(row({ state: "changed" })).toMatch(/Löschen Sie ihre Datei/);
  // A wish that does not hold, in whatever state, and what keeps it from holding.
  expect(row({ state: "registered", held: "Chromium (snap)" })).toMatch(/nicht verbunden haben.*Chromium \(snap\)/);
  expect(row({ state: "connected", held: "" })).toMatch(/nicht verbunden haben.*Paket/);
});

test("in a German window nothing is said in English", () => {
  const f = new Format("de");
  const { reasons } = catalogues.de(f);
  const english = "The thing could not be done at once";
  for (const [word, say] of Object.entries(reasons)) {
    const args = { problem: `backend.ca_file: ${english}`, status: 503, count: 3, kind: "pageVisit", by: "asked", origin: "https://new.example" };
    expect(say(args), word).not.toContain("could not");
  }
});

test("the reader's first language that there is decides, English without one", () => {
  expect(translate(["fr-FR", "de-AT", "en"]).lang).toBe("de");
  expect(translate(["de-AT"]).messages.format.locale).toBe("de-AT");
  expect(translate(["xx", "not a tag"]).lang).toBe("en");
  expect(translate([]).lang).toBe("en");
});
