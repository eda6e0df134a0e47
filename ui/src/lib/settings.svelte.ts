/**
 * The settings as the agent says them, and changing one. What a value may be is the agent's to say: a refusal is
 * kept beside the key it is about.
 */
import type { Fault } from "../generated/Fault";
import type { Rule } from "../generated/Rule";
import type { Settings } from "../generated/Settings";
import { asFault, type Companion, type SettingValue } from "./companion";

/** The key that a refusal of a rule stands beside. */
export const RULES = "privacy.rules";

export class SettingsFile {
  readonly #companion: Companion;
  /** Called with each answer: some settings change the window itself. */
  readonly #heard: (settings: Settings) => void;
  value = $state.raw<Settings | null>(null);
  busy = $state(false);
  fault = $state<{ key: string | null; fault: Fault } | null>(null);

  constructor(companion: Companion, heard: (settings: Settings) => void) {
    this.#companion = companion;
    this.#heard = heard;
  }

  read = () => this.#ask(null, () => this.#companion.settings());
  set = (key: string, value: SettingValue) => this.#ask(key, () => this.#companion.setSetting(key, value));
  addRule = (rule: Rule) => this.#ask(RULES, () => this.#companion.addRule(rule));
  /** One that was changed or taken out meanwhile stays as it is, and that is said beside the rules as they are now. */
  removeRule = async (rule: Rule) => {
    const done = await this.#ask(RULES, () => this.#companion.removeRule(rule));
    const refused = this.fault;
    if (!done && (await this.read())) this.fault = refused;
  };

  of(key: string): SettingValue {
    return this.value?.settings.find((setting) => setting.key === key)?.value ?? null;
  }

  is(key: string): boolean {
    return this.of(key) === true;
  }

  text(key: string): string {
    const value = this.of(key);
    return value === null ? "" : String(value);
  }

  async #ask(key: string | null, ask: () => Promise<Settings>): Promise<boolean> {
    this.busy = true;
    try {
      this.value = await ask();
      this.fault = null;
      this.#heard(this.value);
      return true;
    } catch (thrown) {
      this.fault = { key, fault: asFault(thrown) };
      return false;
    } finally {
      this.busy = false;
    }
  }
}
