/** German. */
import type { Format } from "../../lib/format";
import type { Messages } from "../en";
import { browser, reasons } from "./agent";
import { everyday } from "./everyday";
import { setup } from "./setup";

export const de = (f: Format): Messages => ({
  format: f,
  app: "HeyHo Companion",
  ...everyday(f),
  ...setup(f),

  asTheAgent: false,
  reasons: reasons(f),
  browserSays: browser,
});
