/** The catalogues, and which of them a reader gets. `de` has the type of `en`: a missing key does not compile. */
import { Format } from "../lib/format";
import { de } from "./de";
import { en, type Messages } from "./en";

export type { Messages };

export const catalogues = { en, de } satisfies Record<string, (f: Format) => Messages>;
export type Lang = keyof typeof catalogues;

function isLang(tag: string): tag is Lang {
  return tag in catalogues;
}

/** The first preferred language that there is a catalogue for, with that preference's own region for Intl. */
export function translate(preferred: readonly string[]): { lang: Lang; messages: Messages } {
  for (const tag of preferred) {
    const lang = tag.toLowerCase().split("-")[0] ?? "";
    if (isLang(lang)) {
      return { lang, messages: catalogues[lang](new Format(supported(tag) ?? lang)) };
    }
  }
  return { lang: "en", messages: en(new Format("en")) };
}

function supported(tag: string): string | undefined {
  try {
    return Intl.DateTimeFormat.supportedLocalesOf(tag)[0];
  } catch {
    return undefined;
  }
}
