/**
 * Which browser this is, as `hello` says it and the companion's window lists it.
 */
export interface BrowserName {
  browser: string;
  browserVersion: string;
}

interface Brand {
  brand: string;
  version: string;
}

export function describeBrowser(): BrowserName {
  const data = (navigator as { userAgentData?: { brands?: Brand[] } }).userAgentData;
  return fromBrands(data?.brands ?? []) ?? fromUserAgent(navigator.userAgent);
}

/** Browsers built on Chromium name themselves here beside "Chromium". */
const BRANDS: Record<string, string> = {
  'Google Chrome': 'Chrome',
  'Microsoft Edge': 'Edge',
  Brave: 'Brave',
  Opera: 'Opera',
  Vivaldi: 'Vivaldi',
};

export function fromBrands(brands: readonly Brand[]): BrowserName | null {
  for (const { brand, version } of brands) {
    const name = BRANDS[brand];
    if (name !== undefined) return { browser: name, browserVersion: version };
  }
  return null;
}

const AGENTS: [RegExp, string][] = [
  [/\bEdg\/([\d.]+)/, 'Edge'],
  [/\bOPR\/([\d.]+)/, 'Opera'],
  [/\bVivaldi\/([\d.]+)/, 'Vivaldi'],
  [/\bFirefox\/([\d.]+)/, 'Firefox'],
  [/\b(?:Headless)?Chrome\/([\d.]+)/, 'Chromium'],
];

export function fromUserAgent(agent: string): BrowserName {
  for (const [pattern, browser] of AGENTS) {
    const version = pattern.exec(agent)?.[1];
    if (version !== undefined) return { browser, browserVersion: version };
  }
  return { browser: 'unknown', browserVersion: '' };
}
