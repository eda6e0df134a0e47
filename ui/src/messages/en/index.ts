/** English, and the shape every other catalogue has. Sentences that hold numbers or times take them as arguments. */
import type { BrowserRow } from "../../generated/BrowserRow";
import type { Format } from "../../lib/format";
import type { Sayings } from "../de/agent";
import { everyday } from "./everyday";
import { setup } from "./setup";

export const en = (f: Format) => ({
  format: f,
  app: "HeyHo Companion",
  ...everyday(f),
  ...setup(f),

  /** The agent's own sentences (`reason`, `why`) are in this language: they are shown as they come. */
  asTheAgent: true as boolean,
  /** In other languages, by the agent's words (messages/de/agent.ts). */
  reasons: {} as Sayings,
  browserSays: null as ((row: BrowserRow) => string) | null,
});

export type Messages = ReturnType<typeof en>;
