import { describe, expect, it } from 'vitest';
import { domainOf, isPlaceholderTitle, isWeb, samePage } from '../urls';
import { uuid7 } from '../uuid7';

describe('addresses', () => {
  it.each([
    ['http://a.example/', true], ['HTTPS://a.example/', true], ['chrome://settings', false], ['about:blank', false],
    ['file:///x', false], ['javascript:alert(1)', false], ['moz-extension://x/', false], ['view-source:https://a.example/', false],
  ])('%s is a page: %s', (url, web) => expect(isWeb(url)).toBe(web));

  it.each([
    ['https://a.example/#x', 'https://a.example/#y', true],
    ['https://a.example/', 'https://a.example/#y', true],
    ['https://a.example/#/x', 'https://a.example/#/y', false],
    ['https://a.example/#!x', 'https://a.example/#!y', false],
    ['https://a.example/?x', 'https://a.example/?y', false],
  ])('%s and %s are the same page: %s', (a, b, same) => expect(samePage(a, b)).toBe(same));

  it('have a domain, or none', () => {
    expect(domainOf('https://www.a.example:8443/x')).toBe('www.a.example');
    expect(domainOf('nonsense')).toBe('');
  });

  it.each([
    ['a.example/x?q=secret', 'https://a.example/x?q=secret', true],
    ['https://www.a.example/x?q=ä', 'https://www.a.example/x?q=%C3%A4', true],
    ['a.example', 'https://www.a.example/', true],
    ['a.example/x', 'https://a.example/x?q=1', true],
    ['A page about a.example', 'https://a.example/', false],
    ['', 'https://a.example/', false],
    ['127.0.0.1:8080/one', 'http://127.0.0.1:8080/one', true],
  ])('"%s" for %s is a placeholder: %s', (title, url, placeholder) => expect(isPlaceholderTitle(title, url)).toBe(placeholder));
});

describe('ids', () => {
  it('are UUIDs of version 7 that begin with the time', () => {
    const id = uuid7(0x0192_3456_789a, new Uint8Array([0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6]));
    expect(id).toBe('01923456-789a-7fff-bfff-010203040506');
    expect(uuid7(1_800_000_000_000)).toMatch(/^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    expect(uuid7(1_800_000_000_000)).not.toBe(uuid7(1_800_000_000_000));
    expect(uuid7(1_800_000_000_000) < uuid7(1_800_000_000_001)).toBe(true);
  });
});
