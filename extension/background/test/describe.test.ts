import { describe, expect, it } from 'vitest';
import { fromBrands, fromUserAgent } from '../describe';

describe('the name of the browser', () => {
  it('is the brand where a browser has one of its own', () => {
    const brands = [{ brand: 'Not A Brand', version: '8' }, { brand: 'Chromium', version: '156' }, { brand: 'Brave', version: '156' }];
    expect(fromBrands(brands)).toEqual({ browser: 'Brave', browserVersion: '156' });
    expect(fromBrands(brands.slice(0, 2))).toBeNull();
  });

  it.each([
    ['Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0', 'Firefox', '153.0'],
    ['Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36', 'Chromium', '156.0.0.0'],
    ['Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36', 'Chromium', '156.0.0.0'],
    ['Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36 Edg/156.0.1.2', 'Edge', '156.0.1.2'],
    ['something else', 'unknown', ''],
  ])('%s', (agent, browser, browserVersion) => {
    expect(fromUserAgent(agent)).toEqual({ browser, browserVersion });
  });
});
