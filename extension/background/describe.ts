/**
 * Which browser this is, as `hello` says it.
 */
export function describeBrowser(): { browser: string; browserVersion: string } {
  return parseUserAgent(navigator.userAgent);
}

const KNOWN: [RegExp, string][] = [
  [/\bEdg\/([\d.]+)/, 'Edge'],
  [/\bOPR\/([\d.]+)/, 'Opera'],
  [/\bVivaldi\/([\d.]+)/, 'Vivaldi'],
  [/\bFirefox\/([\d.]+)/, 'Firefox'],
  [/\bChrome\/([\d.]+)/, 'Chromium'],
];

export function parseUserAgent(agent: string): { browser: string; browserVersion: string } {
  for (const [pattern, browser] of KNOWN) {
    const version = pattern.exec(agent)?.[1];
    if (version !== undefined) return { browser, browserVersion: version };
  }
  return { browser: 'unknown', browserVersion: '' };
}
