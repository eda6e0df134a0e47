/**
 * The agent's sentences in German, by their stable words (`reasonCode`, `also`, the states of browsers, alerts).
 * English is the agent's own language: its sentences are shown as they come, also where a later agent says a word
 * that is not here. tests/messages.test.ts looks for the words in the Rust sources: one that is missing fails.
 */
import type { BrowserRow } from "../../generated/BrowserRow";
import type { BrowserState } from "../../generated/BrowserState";
import type { Said } from "../../generated/Said";
import type { Format } from "../../lib/format";
import sentences from "./reasons.json";

export type Args = Said["args"];
export type Sayings = Record<string, (args: Args) => string>;

/** By the agent's word; the tray says the same sentences (src-tauri/src/words.rs). See [`sentenceOf`]. */
const SENTENCES: Record<string, string> = sentences;

/** Of a detail in the agent's English, the setting it names. */
function named(args: Args): Args {
  const setting = /\b[a-z]+\.[a-z_]+\b/.exec(String(args["problem"] ?? ""))?.[0];
  return setting === undefined ? args : { ...args, setting };
}

/** `word.value` where one of the arguments has that value, else `word?name` where there is one of that name, else `word`. */
function sentenceOf(word: string, args: Args): string {
  const keys = [...Object.values(args).map((value) => `${word}.${value}`), ...Object.keys(args).map((name) => `${word}?${name}`)];
  return SENTENCES[keys.find((key) => key in SENTENCES) ?? word] ?? "";
}

export const reasons = (f: Format): Sayings => {
  const words = [...new Set(Object.keys(SENTENCES).map((key) => key.split(/[.?]/)[0] ?? key))];
  const say = (word: string) => (given: Args) => {
    const args = word === "configuration" ? named(given) : given;
    return sentenceOf(word, args).replace(/\{(\w+)\}/g, (_, name: string) => {
      const value = args[name] ?? "";
      return typeof value === "number" ? f.number(value) : value;
    });
  };
  return Object.fromEntries(words.map((word) => [word, say(word)]));
};

const states: Record<BrowserState, (row: BrowserRow) => string> = {
  connected: () => "Verbunden.",
  blocked: ({ name, form }) =>
    form === "flatpak"
      ? `${name} ist ein Flatpak, dessen Sandbox den Companion draußen hält. Führen Sie diesen Befehl einmal aus, und starten Sie ${name} neu.`
      : `${name} ist ein Snap, dessen Sandbox den Companion draußen hält. Installieren Sie ${name} stattdessen von seinem Hersteller oder aus den Paketen Ihres Systems.`,
  changed: () => "Seine Verbindung wurde von Hand geändert und bleibt, wie sie ist. Löschen Sie ihre Datei, damit sie neu geschrieben wird.",
  elsewhere: () => "Mit einem anderen Ort oder einer anderen Erweiterung verbunden. Verbinden Sie ihn neu.",
  opted_out: () => "Nicht verbunden, wie gewünscht.",
  not_registered: () => "Er kennt den Companion noch nicht. Verbinden Sie ihn.",
  quiet: ({ quietDays }) => (quietDays ? `Seit ${quietDays} Tagen kam nichts von ihm. Ist die Erweiterung noch eingeschaltet?` : "Seit Tagen kam nichts von ihm. Ist die Erweiterung noch eingeschaltet?"),
  seen: () => "Läuft gerade nicht, oder seine Erweiterung ist aus.",
  registered: ({ name, form }) =>
    form === "snap"
      ? `Bereit. ${name} ist ein Snap: Wenn er fragt, ob die Erweiterung mit dem Companion sprechen darf, erlauben Sie es.`
      : "Bereit. Installieren Sie die HeyHo-Erweiterung darin und stimmen Sie dort dem Erfassen zu.",
};

/** Somebody's wish that does not hold, and what it would take. */
function held({ held: by }: BrowserRow): string {
  if (by === null) return "";
  if (by === "") return " Sie wollten ihn nicht verbunden haben, aber ein Paket des Systems verbindet ihn für alle: Nur wenn dieses Paket entfernt wird, endet das.";
  return ` Sie wollten ihn nicht verbunden haben, aber er liest die Eintragung von ${by}: Er bleibt verbunden, solange es diese gibt.`;
}

/** How a browser stands, and what mends it (crates/local/src/browsers/survey.rs). */
export const browser = (row: BrowserRow): string => states[row.state](row) + held(row);
